"""Replay recorded exchanges and report what differs.

    python -m tests.conformance                          all sessions, against servers that it starts itself
    python -m tests.conformance -v FOLDER/show-a.json    one session, every exchange listed
    python -m tests.conformance --base-url http://127.0.0.1:11434 --env OLLAMA_GO_TEMPLATE=0 FOLDER
                                                         a running server, the sessions recorded with that setting

Without --base-url, one server is started for each set of settings that sessions name, on a free port with an empty
store. A difference that docs/differences.md explains is told and is no failure; a row there that explains none is one.

A running server must not be one whose models you want to keep: every session starts by deleting all of them. The
replay therefore refuses a server that has models of other names than the sessions', unless --wipe is given.

Exit status: 0 all equal, 1 differences, 2 the replay could not be done.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.conformance.compare import Difference
from tests.conformance.exchanges import SetupFailed, World, model_names
from tests.conformance.kept import Verdict, judge, read_table
from tests.conformance.replay import SETUP, replay_session
from tools.server_process import ServerFailed, puna_server

GOLDEN = Path(__file__).parent / "golden"
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9"}
MAX_SHOWN = 6

Session = dict[str, Any]
Settings = tuple[tuple[str, str], ...]


def main(argv: list[str]) -> int:
    args = parse_arguments(argv)
    sessions = [json.loads(f.read_text(encoding="utf-8")) for f in session_files(args.paths)]
    n_exchanges = n_different = n_kept = n_outlived = 0
    rows: list[str] = []
    try:
        for session, verdict in replay(args, sessions):
            report(session, verdict, verbose=args.verbose)
            n_exchanges += len(session["exchanges"])
            n_different += len(verdict.unexplained)
            n_kept += len(verdict.kept.keys() - verdict.unexplained.keys())
            n_outlived += len(verdict.outlived)
            rows += junit_rows(session, verdict)
    except (SetupFailed, ServerFailed, OSError) as error:
        print(f"cannot replay: {error}", file=sys.stderr)
        return 2
    n_equal = n_exchanges - n_different - n_kept
    print(f"{n_exchanges} exchanges, {n_equal} equal, {n_kept} explained, {n_different} different")
    if args.junit:
        write_junit(args.junit, rows, n_exchanges, n_different)
    return 1 if n_different or n_outlived else 0


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--base-url", help="a server that runs already (default: start them)")
    p.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting that server has")
    p.add_argument("--wipe", action="store_true", help="delete that server's models of other names, too")
    p.add_argument("--models-dir", type=Path, help="where the models are made and kept (default: a temporary folder)")
    p.add_argument("--loose", action="store_true", help="ignore key order, framing and the exact JSON encoding")
    p.add_argument("--merge-chunks", action="store_true", help="let the split of a text into stream events differ")
    p.add_argument("--junit", type=Path, help="also write a JUnit file")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("paths", nargs="*", type=Path, default=[GOLDEN])
    return p.parse_args(argv)


def session_files(arguments: list[Path]) -> list[Path]:
    return [f for a in arguments for f in (sorted(a.glob("*.json")) if a.is_dir() else [a])]


# --------------------------------------------------------------------------------------------------------------------
# Which server plays which session


def replay(args: argparse.Namespace, sessions: list[Session]) -> Iterator[tuple[Session, Verdict]]:
    table = read_table()
    with tempfile.TemporaryDirectory() as scratch:
        for url, theirs in targets(args, sessions, Path(scratch)):
            world = World(url, args.models_dir or Path(scratch))
            for session in theirs:
                found = replay_session(world, session, strict=not args.loose, merge=args.merge_chunks)
                yield session, judge(session["session"], found, table)


def targets(args: argparse.Namespace, sessions: list[Session], scratch: Path) -> Iterator[tuple[str, list[Session]]]:
    """(URL of a server, the sessions for it); the server lives until the next is asked for."""
    groups: dict[Settings, list[Session]] = {}
    for session in sessions:
        groups.setdefault(settings_of(session), []).append(session)
    if args.base_url:
        theirs = groups.pop(tuple(sorted(x.split("=", 1) for x in args.env)), [])
        yield running_server(args, theirs, n_left_out=sum(map(len, groups.values())))
        return
    for number, (settings, theirs) in enumerate(groups.items()):
        with puna_server(scratch / f"server-{number}", settings=NO_NETWORK | dict(settings)) as server:
            yield server.url, theirs


def settings_of(session: Session) -> Settings:
    return tuple(sorted(session.get("env", {}).items()))


def running_server(args: argparse.Namespace, sessions: list[Session], n_left_out: int) -> tuple[str, list[Session]]:
    if n_left_out:
        print(f"{n_left_out} sessions need a server with other settings (see --env): skipped")
    url = args.base_url.rstrip("/")
    if not args.wipe:
        check_target(World(url, Path()), sessions)
    return url, sessions


def check_target(world: World, sessions: list[Session]) -> None:
    ours = {b["model"].lower() for s in sessions for b in s.get("setup", [])}
    foreign = [
        n for n in model_names(world) if n.removesuffix(":latest").lower() not in ours and not n.startswith("cf-")
    ]
    if foreign:
        raise SetupFailed(f"the server has models that are not ours ({', '.join(foreign[:5])}); --wipe deletes them")


# --------------------------------------------------------------------------------------------------------------------
# The report


def report(session: Session, verdict: Verdict, *, verbose: bool) -> None:
    name = session["session"]
    if set_up_failed(verdict):
        print(f"DIFFERENT {name}: all {len(session['exchanges'])} exchanges")
        show([next(iter(verdict.unexplained.values()))[0]])
    else:
        for exchange in (x["id"] for x in session["exchanges"]):
            if exchange in verdict.unexplained:
                print(f"DIFFERENT {name} / {exchange}")
                show(verdict.unexplained[exchange])
            elif exchange in verdict.kept:
                print(f"explained {name} / {exchange}")
                show(verdict.kept[exchange])
            elif verbose:
                print(f"equal     {name} / {exchange}")
    for row in verdict.outlived:
        print(f"OUTLIVED  {row}: nothing differs there; take it out of docs/differences.md")
    sys.stdout.flush()


def set_up_failed(verdict: Verdict) -> bool:
    return any(d.where == SETUP for differences in verdict.unexplained.values() for d in differences)


def show(differences: list[Difference]) -> None:
    for line in differences[:MAX_SHOWN]:
        print(f"    {line}")
    if len(differences) > MAX_SHOWN:
        print(f"    … and {len(differences) - MAX_SHOWN} more")


def junit_rows(session: Session, verdict: Verdict) -> Iterator[str]:
    for exchange in (x["id"] for x in session["exchanges"]):
        yield f"<testcase classname={quoteattr(session['session'])} name={quoteattr(exchange)}>"
        if exchange in verdict.unexplained:
            yield f"<failure message={quoteattr(str(verdict.unexplained[exchange][0]))}/>"
        yield "</testcase>"


def write_junit(path: Path, rows: Iterable[str], n_tests: int, n_failures: int) -> None:
    head = f'<testsuite name="conformance" tests="{n_tests}" failures="{n_failures}">'
    path.write_text("\n".join([head, *rows, "</testsuite>"]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
