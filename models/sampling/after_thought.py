"""A constraint that waits until the model has thought: thoughts are free, what follows them is constrained."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.runner.settings import Thought
from models.sampling.pieces import Pieces
from models.sampling.thoughts import Stage, ThoughtReader


class Constraining(Protocol):
    """What a sampler asks of a constraint."""

    @property
    def is_complete(self) -> bool: ...
    def allows(self, token: int) -> bool: ...
    def allowed(self) -> npt.NDArray[np.intp]: ...
    def accept(self, token: int) -> None: ...
    def forced(self) -> Sequence[int]: ...


class AfterThought:
    """Lets a thought pass, then follows `inner`.

    The first tokens may begin the opening tag or the constrained text; so the text is constrained even if the model
    does not think. Once it thinks, everything is allowed until the closing tag, but for ending the reply, as what is
    demanded has yet to come, and for tokens that have text behind the closing tag, as that would be free.
    """

    def __init__(
        self, inner: Constraining, thought: Thought, n_vocab: int, pieces: Pieces, ends: Collection[int] = ()
    ) -> None:
        """`ends`: tokens that end a reply."""
        self._inner = inner
        self._reader = ThoughtReader(thought)
        self._start = thought.start.encode()
        self._n_vocab = n_vocab
        self._pieces = pieces
        self._end = thought.end.encode()  # some models close their thoughts with what ends replies elsewhere
        self._ends = np.array(sorted(token for token in ends if pieces[token] not in self._end), dtype=np.intp)

    @property
    def is_complete(self) -> bool:
        return self._reader.stage is Stage.DONE and self._inner.is_complete

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        stage = self._reader.stage
        if stage is Stage.THINKING:
            return token not in self._ends and not self._reader.ends_in_text(self._pieces[token])
        if stage is Stage.OPENING and self._reader.can_open(self._pieces[token]):
            return True
        return self._inner.allows(token)

    def allowed(self) -> npt.NDArray[np.intp]:
        """All tokens that may come next."""
        stage = self._reader.stage
        if stage is Stage.THINKING:
            return np.delete(np.arange(self._n_vocab), np.concatenate((self._ends, self._ending_in_text())))
        inner = self._inner.allowed()
        return inner if stage is Stage.DONE else np.union1d(inner, self._opening())

    def accept(self, token: int) -> None:
        """Move on past an allowed token."""
        is_text = self._reader.stage is Stage.DONE
        if not is_text:
            is_thought = self._reader.stage is Stage.THINKING
            self._reader.read(self._pieces[token])
            is_text = self._reader.stage is Stage.DONE and not is_thought  # it did not open after all
        if is_text:
            self._inner.accept(token)

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, if there is no choice."""
        return self._inner.forced() if self._reader.stage is Stage.DONE else ()

    def _ending_in_text(self) -> npt.NDArray[np.intp]:
        """The tokens with which the thought would end too late: after its closing tag."""
        last = self._end[-1:]
        ending = (t for t, piece in enumerate(self._pieces.all) if last in piece and self._reader.ends_in_text(piece))
        return np.fromiter(ending, dtype=np.intp)

    def _opening(self) -> npt.NDArray[np.intp]:
        """The tokens with which the opening tag may begin, or go on."""
        opened = self._reader.opened
        found = self._pieces.that_open(self._start[len(opened) :], after_blanks=not opened)
        return np.array(
            [token for token in found.tolist() if self._reader.can_open(self._pieces[token])], dtype=np.intp
        )
