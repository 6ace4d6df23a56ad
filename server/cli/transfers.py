"""The progress of a pull, push or create on the screen: a bar for each digest, a spinner for each other status."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from server.cli.progress import Bar, ProgressArea, Spinner
from server.cli.transport import Json


def _label_of_pull(event: Json) -> str:
    digest = str(event["digest"]).removeprefix("sha256:")
    return f"pulling {digest[:12]}:"


def _label_of_status(event: Json) -> str:
    return str(event.get("status") or _label_of_pull(event))


@dataclass(frozen=True, slots=True)
class Style:
    """How a command names its bars, and whether a transfer is shown before its first byte."""

    label: Callable[[Json], str]
    shows_unstarted: bool


# Compat: registry-store-cli 7.8 (cmd/cmd.go pullModelWithProgress, PushHandler, CreateHandler).
PULL = Style(_label_of_pull, shows_unstarted=False)
PUSH = CREATE = Style(_label_of_status, shows_unstarted=True)


def show_transfer(events: Iterable[Json], area: ProgressArea, style: Style) -> None:
    """Follow the events to their end. Raises what the events raise."""
    bars: dict[str, Bar] = {}
    spinner: Spinner | None = None
    for event in events:
        digest, status = event.get("digest"), str(event.get("status", ""))
        if digest:
            completed = int(event.get("completed") or 0)
            if not completed and not style.shows_unstarted:
                continue
            if spinner:
                spinner.stop()
            if digest not in bars:
                bars[digest] = Bar(style.label(event), int(event.get("total") or 0), completed)
                area.add(bars[digest])
            bars[digest].set(completed)
        elif spinner is None or spinner.message != status:
            if spinner:
                spinner.stop()
            spinner = Spinner(status)
            area.add(spinner)
    if spinner:
        spinner.stop()
