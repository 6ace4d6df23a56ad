"""A constraint that waits until the model has thought: thoughts are free, what follows them is constrained."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.runner.messages import Thought
from models.sampling.chain import Floats

MAX_BLANKS = 8
"""Bytes of white space that may stand before a thought."""


class Constraining(Protocol):
    """What a sampler asks of a constraint."""

    @property
    def is_complete(self) -> bool: ...
    def allows(self, token: int) -> bool: ...
    def allowed(self) -> npt.NDArray[np.intp]: ...
    def mask(self, logits: Floats) -> None: ...
    def accept(self, token: int) -> None: ...


class _State(Enum):
    OPENING = auto()
    """Nothing but the beginning of the opening tag so far: a thought or the constrained text may follow."""
    THINKING = auto()
    DONE = auto()


class AfterThought:
    """Lets a thought pass, then follows `inner`.

    The first tokens may begin the opening tag or the constrained text; so the text is constrained even if the model
    does not think. Once it thinks, everything is allowed until the closing tag.
    """

    def __init__(self, inner: Constraining, thought: Thought, n_vocab: int, piece: Callable[[int], bytes]) -> None:
        """`piece`: the bytes of a token, those of special tokens included."""
        self._inner = inner
        self._start, self._end = thought.start.encode(), thought.end.encode()
        self._n_vocab = n_vocab
        self._piece = piece
        self._seen = b""
        self._state = _State.THINKING if thought.is_open else _State.OPENING

    @property
    def is_complete(self) -> bool:
        return self._state is _State.DONE and self._inner.is_complete

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        if self._state is _State.THINKING or (self._state is _State.OPENING and self._begins_thought(token)):
            return True
        return self._inner.allows(token)

    def allowed(self) -> npt.NDArray[np.intp]:
        """All tokens that may come next."""
        if self._state is _State.THINKING:
            return np.arange(self._n_vocab)
        inner = self._inner.allowed()
        if self._state is _State.DONE:
            return inner
        opening = [token for token in range(self._n_vocab) if self._begins_thought(token)]
        return np.union1d(inner, np.asarray(opening, dtype=np.intp))

    def mask(self, logits: Floats) -> None:
        """Set the logits of all tokens that may not come next to minus infinity."""
        if self._state is _State.DONE:
            self._inner.mask(logits)
        elif self._state is _State.OPENING:
            allowed = self.allowed()
            kept = logits[allowed]
            logits.fill(-np.inf)
            logits[allowed] = kept

    def accept(self, token: int) -> None:
        """Move on past an allowed token."""
        match self._state:
            case _State.OPENING if self._begins_thought(token):
                self._seen += self._piece(token)
                if self._seen.lstrip().startswith(self._start):
                    self._state = _State.THINKING
                    self._read_thought(b"")
            case _State.THINKING:
                self._read_thought(self._piece(token))
            case _:
                self._state = _State.DONE
                self._inner.accept(token)

    def _read_thought(self, piece: bytes) -> None:
        self._seen = self._seen + piece
        if self._end in self._seen:
            self._state = _State.DONE
            self._seen = b""
        elif len(self._seen) > len(self._start) + len(self._end):
            self._seen = self._seen[-len(self._end) :]

    def _begins_thought(self, token: int) -> bool:
        piece = self._piece(token)
        if len(self._seen) > MAX_BLANKS + len(self._start):
            return False
        text = (self._seen + piece).lstrip()
        return bool(piece) and (text.startswith(self._start) or self._start.startswith(text))
