"""Marks in a prompt where images go (prompting.md 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.parsers.text import SPACES
from models.templates.chat import Message

PLACEHOLDER = "[img]"


def tag_images(messages: Sequence[Message]) -> tuple[list[Message], tuple[bytes, ...]]:
    """For a template: messages with `[img-N]` where their media go, numbered from 0, and the media in that order."""
    tagged: list[Message] = []
    media: list[bytes] = []
    for message in messages:
        content, prefix = _placed(message.content, len(media), len(message.images))
        media += message.images
        tagged.append(replace(message, content=prefix + content) if message.images else message)
    return tagged, tuple(media)


class ImageTags:
    """For a renderer: numbers the media of message after message."""

    def __init__(self) -> None:
        self.n_tagged = 0

    def tagged(self, content: str, n_images: int) -> str:
        """The content with a tag for each image; where tags stand already, they are trusted."""
        first, self.n_tagged = self.n_tagged, self.n_tagged + n_images
        if n_images == 0 or "[img-" in content:
            return content
        content, prefix = _placed(content, first, n_images)
        if prefix and content and content[0] not in SPACES:
            prefix += " "
        return prefix + content


def _placed(content: str, first: int, count: int) -> tuple[str, str]:
    """The content with placeholders replaced, and the tags that found none."""
    prefix = ""
    for number in range(first, first + count):
        if PLACEHOLDER in content:
            content = content.replace(PLACEHOLDER, f"[img-{number}]", 1)
        else:
            prefix += f"[img-{number}]"
    return content, prefix
