"""The chat that is rendered into a prompt: messages, tools, thinking, as every dialect hands them over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.parsers.events import ToolCall

Tool = dict[str, Any]
"""A function the model may call, in the key order of prompting.md 0.5: `type`, `items`?, `function` {`name`,
`description`?, `parameters` {…}}. The edge has dropped every other key."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` holds raw bytes of images or audio; `role` is lower case."""

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[bytes, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Think:
    """Whether to think; `level` is the word the client used, empty for plain true or false."""

    enabled: bool
    level: str = ""

    @property
    def text(self) -> str:
        """What a template that knows levels prints: the level, `medium` for true, nothing for false."""
        return self.level or ("medium" if self.enabled else "")
