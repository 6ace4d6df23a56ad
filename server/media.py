"""Images and sounds of a request in its prompt: the texts between them, and each where its mark stands."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import RefusedByEngine
from models.runner.messages import MixedPrompt

UNPLACED = "Failed to tokenize prompt"
"""Compat: what llama.cpp's server says when images and their places are not as many."""


def at_tags(text: str, media: Sequence[bytes]) -> MixedPrompt:
    """Medium N goes where the first `[img-N]` stands. Raises: RefusedByEngine when there is none.

    # Compat: prompting 8.2. The original puts its own mark there and sends the data in their order, so that images
    change places when a prompt names them in another one; here each goes where its number stands.
    """
    places: list[tuple[int, int, bytes]] = []
    for number, content in enumerate(media):
        tag = f"[img-{number}]"
        start = text.find(tag)
        if start < 0:
            raise RefusedByEngine.saying(UNPLACED)
        places.append((start, start + len(tag), content))
    places.sort()
    starts = [0, *(end for _, end, _ in places)]
    ends = [*(start for start, _, _ in places), len(text)]
    texts = tuple(text[start:end] for start, end in zip(starts, ends, strict=True))
    return MixedPrompt(texts, tuple(content for _, _, content in places))


def at_markers(text: str, media: Sequence[bytes], marker: str) -> MixedPrompt:
    """The media go where the markers stand, in order. Raises: RefusedByEngine when there are not as many.

    # Compat: prompting 8.3.
    """
    texts = tuple(text.split(marker))
    if len(texts) != len(media) + 1:
        raise RefusedByEngine.saying(UNPLACED)
    return MixedPrompt(texts, tuple(media))
