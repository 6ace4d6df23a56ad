#!/usr/bin/env python3
"""Replay recorded exchanges against a running server and report what differs.

    python replay.py --base-url http://127.0.0.1:11434 golden/            all sessions of a folder
    python replay.py --base-url … golden/tools-agent-a.json -v            one session, every exchange listed
    python replay.py --base-url … --env OLLAMA_GO_TEMPLATE=0 golden/      the sessions recorded with that setting

The server must not be one whose models you want to keep: every session starts by deleting all of them. The replayer
therefore refuses a server that has models of other names than the sessions', unless --wipe is given.

Exit status: 0 all equal, 1 differences, 2 the replay could not be done.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.conformance.compare import Difference, Rules, compare
from tests.conformance.exchanges import Response, SetupFailed, World, capture, model_names, send, set_up
from tests.conformance.fake_registry import FakeRegistry

MAX_SHOWN = 6
SETUP = "set-up failed: "
MODELS_LIST = "models.sha256"


@dataclass(frozen=True)
class Result:
    session: str
    exchange: str
    differences: list[str]


def snapshot(world: World, response: Response) -> dict[str, Any]:
    """An answer in the form golden files store: placeholders put in, streams as a list of lines or events."""
    text = world.blank(response.body.decode("utf-8", "backslashreplace"))
    headers = {k: [world.blank(v) for v in vs] for k, vs in sorted(response.headers.items())}
    body: str | list[str] = text
    if text.startswith(("data: ", "event: ")):
        body = [f"{block}\n\n" for block in text.split("\n\n") if block]
    elif text.startswith("{") and text.count("}\n{") > 0:
        body = text.splitlines(keepends=True) if "\u2028" not in text else [f"{x}\n" for x in text.split("\n") if x]
    return {"status": response.status, "framing": response.framing, "headers": headers, "body": body}


def rules_of(exchange: dict[str, Any], *, strict: bool, merge: bool) -> Rules:
    return Rules(
        mask=exchange.get("mask", {}),
        unordered=tuple(exchange.get("unordered", ())),
        progress=exchange.get("progress", False),
        strict=strict and exchange["request"].get("to") != "registry",
        merge=merge,
    )


def play(world: World, exchange: dict[str, Any], rules: Rules | None) -> tuple[dict[str, Any], list[Difference]]:
    """Send one exchange; with rules, compare, and repeat for `retry_s` seconds while it differs (a settling state)."""
    time.sleep(exchange.get("wait_s", 0.0))
    end = time.monotonic() + exchange.get("retry_s", 0.0)
    while True:
        response = send(world, exchange["request"])
        answer = snapshot(world, response)
        found = compare(exchange["response"], answer, rules) if rules else []
        if not found or time.monotonic() >= end:
            break
        time.sleep(0.1)
    capture(world, exchange, response)
    return answer, found


def replay_session(world: World, session: dict[str, Any], *, strict: bool, merge: bool) -> list[Result]:
    results = []
    name = session["session"]
    with FakeRegistry(world.model_file) as registry:
        world.registry = registry.address
        try:
            set_up(world, session)
        except (SetupFailed, OSError) as error:
            return [Result(name, x["id"], [f"{SETUP}{error}"]) for x in session["exchanges"]]
        for exchange in session["exchanges"]:
            try:
                _, found = play(world, exchange, rules_of(exchange, strict=strict, merge=merge))
                differences = [str(d) for d in found]
            except Exception as error:  # the server hung up, timed out, answered garbage: one exchange differs
                differences = [f"no usable answer: {type(error).__name__}: {error}"]
            results.append(Result(name, exchange["id"], differences))
    return results


def session_files(arguments: list[Path]) -> list[Path]:
    return [f for a in arguments for f in (sorted(a.glob("*.json")) if a.is_dir() else [a])]


def check_models(world: World, paths: list[Path]) -> None:
    """Say which model files differ from those of the recording: sizes and layer digests may then differ, too."""
    for listing in {(p if p.is_dir() else p.parent) / MODELS_LIST for p in paths}:
        for line in listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []:
            digest, _, name = line.partition("  ")
            if world.digest(name.removesuffix(".gguf")) != digest:
                print(f"warning: {name} is not the recorded file; other versions of gguf or numpy?", file=sys.stderr)


def for_environment(sessions: list[dict[str, Any]], settings: list[str]) -> list[dict[str, Any]]:
    """The sessions that belong to a server started with exactly these NAME=VALUE settings."""
    env = dict(x.split("=", 1) for x in settings)
    return [s for s in sessions if s.get("env", {}) == env]


def check_target(world: World, sessions: list[dict[str, Any]]) -> None:
    ours = {b["model"].lower() for s in sessions for b in s.get("setup", [])}
    foreign = [
        n for n in model_names(world) if n.removesuffix(":latest").lower() not in ours and not n.startswith("cf-")
    ]
    if foreign:
        raise SetupFailed(f"the server has models that are not ours ({', '.join(foreign[:5])}); --wipe deletes them")


def write_junit(path: Path, results: list[Result]) -> None:
    failures = sum(bool(r.differences) for r in results)
    rows = [f'<testsuite name="conformance" tests="{len(results)}" failures="{failures}">']
    for r in results:
        rows.append(f"<testcase classname={quoteattr(r.session)} name={quoteattr(r.exchange)}>")
        if r.differences:
            rows.append(f"<failure message={quoteattr(r.differences[0])}/>")
        rows.append("</testcase>")
    path.write_text("\n".join([*rows, "</testsuite>"]), encoding="utf-8")


def report(results: list[Result], *, verbose: bool) -> None:
    if all(d.startswith(SETUP) for d in results[0].differences) and results[0].differences:
        print(f"DIFFERENT {results[0].session}: all {len(results)} exchanges\n    {results[0].differences[0]}")
        return
    for r in results:
        if r.differences:
            print(f"DIFFERENT {r.session} / {r.exchange}")
            for line in r.differences[:MAX_SHOWN]:
                print(f"    {line}")
            if len(r.differences) > MAX_SHOWN:
                print(f"    … and {len(r.differences) - MAX_SHOWN} more")
        elif verbose:
            print(f"equal     {r.session} / {r.exchange}")


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--base-url", required=True)
    p.add_argument(
        "--models-dir", type=Path, help="where the GGUF files are made and kept (default: a temporary folder)"
    )
    p.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a setting the server was started with"
    )
    p.add_argument("--strict", action="store_true", help="also compare key order, framing and the exact JSON encoding")
    p.add_argument("--merge-chunks", action="store_true", help="let the split of a text into stream events differ")
    p.add_argument("--wipe", action="store_true", help="delete models of other names, too")
    p.add_argument("--junit", type=Path, help="also write a JUnit file")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("paths", nargs="+", type=Path)
    return p.parse_args(argv)


def main(argv: list[str]) -> int:
    args = parse_arguments(argv)
    everything = [json.loads(f.read_text(encoding="utf-8")) for f in session_files(args.paths)]
    sessions = for_environment(everything, args.env)
    if len(sessions) < len(everything):
        print(f"{len(everything) - len(sessions)} sessions need a server with other settings (see --env): skipped")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as scratch:
        world = World(args.base_url.rstrip("/"), args.models_dir or Path(scratch))
        check_models(world, args.paths)
        try:
            if not args.wipe:
                check_target(world, sessions)
            for session in sessions:
                found = replay_session(world, session, strict=args.strict, merge=args.merge_chunks)
                report(found, verbose=args.verbose)
                sys.stdout.flush()
                results += found
        except (SetupFailed, OSError) as error:
            print(f"cannot replay: {error}", file=sys.stderr)
            return 2
    different = sum(bool(r.differences) for r in results)
    print(f"{len(results)} exchanges, {len(results) - different} equal, {different} different")
    if args.junit:
        write_junit(args.junit, results)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
