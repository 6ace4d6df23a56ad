"""Images and sounds within a prompt: they take positions like tokens, and are computed in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]


class Media(Protocol):
    """See models.llama.media.Media."""

    @property
    def mark(self) -> int:
        """Stands for it among the tokens: negative, the same for the same content, so that prefixes are recognised."""
        ...

    @property
    def n_positions(self) -> int: ...
    @property
    def n_tokens(self) -> int:
        """What a user is told it costs; models with positions in two dimensions need fewer positions."""
        ...


class PlacedMedia(NamedTuple):
    """Takes the positions start … end - 1."""

    start: int
    media: Media

    @property
    def end(self) -> int:
        return self.start + self.media.n_positions


def lay_out(pieces: Sequence[Tokens | Media]) -> tuple[Tokens, tuple[PlacedMedia, ...]]:
    """The tokens of a prompt, with marks in place of media, and where these are."""
    placed: list[PlacedMedia] = []
    rows: list[Tokens] = []
    n = 0
    for piece in pieces:
        if not isinstance(piece, np.ndarray):
            placed.append(PlacedMedia(n, piece))
            piece = np.full(piece.n_positions, piece.mark, dtype=np.int32)
        rows.append(piece)
        n += len(piece)
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.int32), tuple(placed)


def whole(n: int, placed: Sequence[PlacedMedia]) -> int:
    """The most of the first `n` tokens that cut through no image."""
    return next((one.start for one in placed if one.start < n < one.end), n)
