"""Play a recorded session against a server, exchange by exchange, and compare what it answers."""

from __future__ import annotations

import time
from typing import Any

from tests.conformance.compare import Difference, Rules, compare
from tests.conformance.exchanges import Response, SetupFailed, World, capture, send, set_up
from tests.conformance.fake_registry import FakeRegistry

SETUP = "set-up"


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


def replay_session(world: World, session: dict[str, Any], *, strict: bool, merge: bool) -> dict[str, list[Difference]]:
    """What differs in each exchange, by its id; nothing where it is equal."""
    with FakeRegistry(world.model_file) as registry:
        world.registry = registry.address
        try:
            set_up(world, session)
        except (SetupFailed, OSError) as error:
            return {x["id"]: [Difference(SETUP, "success", str(error))] for x in session["exchanges"]}
        return {x["id"]: _try(world, x, rules_of(x, strict=strict, merge=merge)) for x in session["exchanges"]}


def _try(world: World, exchange: dict[str, Any], rules: Rules) -> list[Difference]:
    try:
        return play(world, exchange, rules)[1]
    except Exception as error:  # the server hung up, timed out, answered garbage: one exchange differs
        return [Difference("answer", "a usable one", f"{type(error).__name__}: {error}")]
