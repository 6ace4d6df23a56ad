"""What becomes of earlier messages before a prompt is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.parsers.thinking import without_thoughts
from models.templates.chat import Message


def without_oldest(messages: Sequence[Message], n_dropped: int) -> tuple[Message, ...]:
    """The messages without the first `n_dropped`, except for system messages: those always stay.

    # Compat: prompting 3.1.
    """
    system = tuple(message for message in messages[:n_dropped] if message.role == "system")
    return (*system, *messages[n_dropped:])


def without_old_thoughts(messages: Sequence[Message], family: str, name: str) -> tuple[Message, ...]:
    """Without the thoughts in answers before the last question, for families whose templates expect that.

    `name`: the model's own name, without namespace and tag.
    # Compat: prompting 5.7.
    """
    last_user = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    if family != "qwen3" and name != "deepseek-r1":
        return tuple(messages)
    return tuple(
        replace(message, content=without_thoughts(message.content))
        if message.role == "assistant" and i < last_user
        else message
        for i, message in enumerate(messages)
    )


def without_leading_bos(prompt: str, leading_bos: str, *, adds_bos: bool) -> str:
    """Without the token text that the tokenizer adds itself; `leading_bos` is what the renderer prints of it.

    # Compat: prompting 3.4.
    """
    if not adds_bos:
        return prompt
    if leading_bos and prompt.startswith(leading_bos):
        return prompt.removeprefix(leading_bos)
    return prompt.removeprefix("<bos>")
