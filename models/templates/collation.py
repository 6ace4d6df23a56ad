"""Joins neighbours of one role, as Ollama does before a Go template sees the messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from models.templates.chat import Message

SEPARATOR = "\n\n"


def collate(messages: Iterable[Message]) -> tuple[str, list[Message]]:
    """All system texts joined, and the messages without neighbours of one role (results of tools stay apart).

    What a message that joins another has besides its content is lost.
    # Compat: prompting 1.7.
    """
    system: list[str] = []
    joined: list[Message] = []
    for message in messages:
        if message.role == "system":
            system.append(message.content)
        if joined and message.role != "tool" and joined[-1].role == message.role:
            joined[-1] = replace(joined[-1], content=joined[-1].content + SEPARATOR + message.content)
        else:
            joined.append(message)
    return SEPARATOR.join(system), joined
