"""What the built-in parsers share: they read a reply in runs, and the last run says that it is the last."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think, Tool

_ALPHABET = string.ascii_lowercase + string.digits


class Step(NamedTuple):
    """What one run brings."""

    content: str = ""
    thinking: str = ""
    calls: Sequence[ToolCall] = ()


class StepParser(Protocol):
    """A parser as Ollama has them (prompting.md 6)."""

    def add(self, text: str, done: bool) -> Step:
        """Read a run; `done`: it is the last. Raises: ParserError, which ends the reply."""
        ...


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a parser is told before the reply: the tools, the last message of the prompt, whether to think."""

    tools: Sequence[Tool] = ()
    last_message: Message | None = None
    think: Think | None = None

    def thinks(self, *, unless_said: bool) -> bool:
        """Whether thoughts are expected; `unless_said` is the answer for a request that does not say."""
        return unless_said if self.think is None else self.think.enabled

    @property
    def continues_answer(self) -> bool:
        """Whether the prompt ends with the beginning of an answer."""
        return (
            self.last_message is not None and self.last_message.role == "assistant" and bool(self.last_message.content)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the declared tools."""
        return tuple(tool["function"]["name"] for tool in self.tools)

    def tool(self, name: str) -> dict[str, Any] | None:
        """The function of a declared tool."""
        functions = (tool["function"] for tool in self.tools)
        return next((function for function in functions if function.get("name") == name), None)

    def parameter(self, tool: str, name: str) -> dict[str, Any]:
        """The schema of a parameter of a declared tool; empty if there is none."""
        function = self.tool(tool) or {}
        properties = (function.get("parameters") or {}).get("properties") or {}
        return properties.get(name) or {}


@dataclass(frozen=True, slots=True)
class ParserKind:
    """A parser by its name. `preserved`: special tokens that the engine must show instead of hiding."""

    make: Callable[[Expectations], StepParser]
    has_tools: bool
    has_thinking: bool
    preserved: tuple[str, ...] = ()


def with_ids(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Calls with new ids (prompting.md 4.6)."""
    return tuple(replace(call, id="call_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))) for call in calls)
