"""`puna selftest [--model NAME] [--spawn]`: run every check, print a table, fail if one fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from server.cli.client import Client
from server.cli.errors import CliError
from server.cli.flags import Arguments
from server.cli.selftest.checking import Check, Failed, Subject, shorten
from server.cli.selftest.spawning import spawned_server
from server.cli.selftest.table import CHECKS
from server.cli.terminal import Output

BUILTIN = "pico"
_CAME_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check went. `detail` is what was seen, or why it failed."""

    name: str
    result: str
    seconds: float
    detail: str

    @property
    def failed(self) -> bool:
        return self.result == "FAIL"


def run(client: Client, args: Arguments, out: Output) -> int:
    """0 when no check failed, 1 otherwise. Raises: CliError when there is no server or no such model."""
    with spawned_server(out.environment) if args.flag("spawn") else nullcontext(client) as server:
        server.heartbeat()
        subject = describe(server, args.text("model") or BUILTIN)
        began = time.monotonic()
        out.write(format_line("CHECK", "RESULT", "TIME", "DETAIL"))
        outcomes = [run_and_print(check, subject, out) for check in CHECKS]
        out.write(format_summary(outcomes, time.monotonic() - began))
    return int(any(outcome.failed for outcome in outcomes))


def describe(client: Client, model: str) -> Subject:
    """The model to check with; naming the built-in one puts it into the store. Raises: CliError."""
    capabilities = frozenset(client.show(model).get("capabilities") or ())
    return Subject(client, model, capabilities, knows_puna=model.removesuffix(":latest") == BUILTIN)


def run_and_print(check: Check, subject: Subject, out: Output) -> Outcome:
    outcome = run_check(check, subject)
    out.write(format_line(outcome.name, outcome.result, format_seconds(outcome.seconds), outcome.detail))
    return outcome


def run_check(check: Check, subject: Subject) -> Outcome:
    """What came of one check; a broken answer counts as a failure like a wrong one."""
    if check.needs and check.needs not in subject.capabilities:
        return Outcome(check.name, "skip", 0.0, f"the model has no {check.needs}")
    began = time.monotonic()
    try:
        result, detail = "ok", check.run(subject)
    except Failed as failure:
        came = shorten(str(failure.came), _CAME_LIMIT)
        result, detail = "FAIL", f"expected {failure.expected}; came: {came}"
    except CliError as error:
        result, detail = "FAIL", f"error: {error}"
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        result, detail = "FAIL", f"the answer has another form: {type(error).__name__}: {error}"
    return Outcome(check.name, result, time.monotonic() - began, detail)


_NAME_WIDTH = max(len(check.name) for check in CHECKS)


def format_line(name: str, result: str, duration: str, detail: str) -> str:
    return f"{name:<{_NAME_WIDTH}}    {result:<6}    {duration:>8}    {detail}".rstrip() + "\n"


def format_seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def format_summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """`22 passed, 1 failed, 1 skipped in 3.21 s`."""
    counts = [
        (sum(outcome.result == result for outcome in outcomes), word)
        for result, word in (("ok", "passed"), ("FAIL", "failed"), ("skip", "skipped"))
    ]
    told = ", ".join(f"{n} {word}" for n, word in counts if n)
    return f"\n{told} in {format_seconds(seconds)}\n"
