"""What a check is, what it tries, and the few words that checks are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from server.cli.client import Client
from server.cli.transport import Json

GREEDY: Json = {"temperature": 0, "seed": 1}


class Failed(Exception):
    """A check found something else than it expected; both are shown."""

    def __init__(self, expected: str, came: object) -> None:
        super().__init__(f"expected {expected}, got {came!r}")
        self.expected = expected
        self.came = came


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on a server. `knows_puna`: it is the built-in model, whose answers are known."""

    client: Client
    model: str
    capabilities: frozenset[str]
    knows_puna: bool

    def generate(self, prompt: str, *, options: Json | None = None, **said: Any) -> Reply:
        """One answer to a prompt; greedy unless `options` say otherwise. Raises: CliError."""
        return Reply.of(self.client.generate(self.model, prompt, options=GREEDY | (options or {}), **said))

    def chat(self, text: str, *, options: Json | None = None, **said: Any) -> Reply:
        """One answer to a message; greedy unless `options` say otherwise. Raises: CliError."""
        messages = [{"role": "user", "content": text}]
        return Reply.of(self.client.chat(self.model, messages, options=GREEDY | (options or {}), **said))


@dataclass(frozen=True, slots=True)
class Reply:
    """All events of an answer: of generate or of chat."""

    events: tuple[Json, ...]

    @classmethod
    def of(cls, events: Iterator[Json]) -> Reply:
        return cls(tuple(events))

    @property
    def text(self) -> str:
        return "".join(event.get("response") or _message(event).get("content") or "" for event in self.events)

    @property
    def thinking(self) -> str:
        return "".join(event.get("thinking") or _message(event).get("thinking") or "" for event in self.events)

    @property
    def tool_calls(self) -> list[Json]:
        return [call for event in self.events for call in _message(event).get("tool_calls") or ()]

    @property
    def last(self) -> Json:
        """The final object, with the counts. Raises: Failed when there is none."""
        if not self.events or not self.events[-1].get("done"):
            raise Failed("a last event that says done", self.events[-1:])
        return self.events[-1]


def _message(event: Json) -> Json:
    return event.get("message") or {}


def expect(holds: bool, expected: str, came: object) -> None:
    """Raises: Failed."""
    if not holds:
        raise Failed(expected, came)


Try = Callable[[Subject], str]
"""Returns a few words on what was seen. Raises: Failed, CliError."""


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the table; a model without the capability `needs` is not tried."""

    name: str
    run: Try
    needs: str = ""


def shorten(text: str, limit: int = 40) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
