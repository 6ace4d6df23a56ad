"""Where a reply's thought begins and ends, read token by token, and how long it may become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from models.runner.settings import Thought, ThoughtBudget

MAX_BLANKS = 8
"""Bytes of white space that may stand before a thought."""


class Stage(Enum):
    """How far a reply is."""

    OPENING = auto()
    """Nothing but the beginning of the opening tag so far: a thought or something else may follow."""
    THINKING = auto()
    DONE = auto()


class ThoughtReader:
    """Follows the bytes of a reply through its thought, if it begins with one."""

    def __init__(self, thought: Thought) -> None:
        self._start, self._end = thought.start.encode(), thought.end.encode()
        self._seen = b""
        self.stage = Stage.THINKING if thought.is_open else Stage.OPENING

    @property
    def opened(self) -> bytes:
        """As long as it is opening: what of the opening tag is there."""
        return self._seen.lstrip()

    def can_open(self, piece: bytes) -> bool:
        """Whether the opening tag, or a thought, may still come when this is next."""
        if len(self._seen) > MAX_BLANKS + len(self._start):
            return False
        text = (self._seen + piece).lstrip()
        return bool(piece) and (text.startswith(self._start) or self._start.startswith(text))

    def ends_in_text(self, piece: bytes) -> bool:
        """Whether this ends the thought, and has more than white space behind its end."""
        if self.stage is not Stage.THINKING:
            return False
        _, tag, rest = (self._seen + piece).partition(self._end)
        return bool(tag and rest.strip())

    def read(self, piece: bytes) -> None:
        """Move on past a token."""
        if self.stage is Stage.OPENING:
            if not self.can_open(piece):
                self.stage = Stage.DONE
                return
            self._seen += piece
            if self.opened.startswith(self._start):
                self.stage = Stage.THINKING
                self._read_thought(b"")
        elif self.stage is Stage.THINKING:
            self._read_thought(piece)

    def _read_thought(self, piece: bytes) -> None:
        self._seen += piece
        if self._end in self._seen:
            self.stage = Stage.DONE
            self._seen = b""
        elif len(self._seen) > len(self._start) + len(self._end):
            self._seen = self._seen[-len(self._end) :]

    def missing_end(self) -> bytes:
        """What has to follow for the thought to end."""
        lengths = range(len(self._end) - 1, 0, -1)
        return next((self._end[n:] for n in lengths if self._seen.endswith(self._end[:n])), self._end)


class ThoughtLimit:
    """Ends a thought that has become too long."""

    def __init__(
        self, budget: ThoughtBudget, piece: Callable[[int], bytes], tokenize: Callable[[str], Sequence[int]]
    ) -> None:
        """`piece`: the bytes of a token, those of special tokens included; `tokenize` knows special tokens, too."""
        self._reader = ThoughtReader(budget.thought)
        self._n_left = budget.n_tokens
        self._piece = piece
        self._tokenize = tokenize
        self._ending: list[int] = []
        self._check()

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, if any must."""
        return self._ending

    def accept(self, token: int) -> None:
        """Move on past a token."""
        if self._ending:
            self._ending = self._ending[1:] if token == self._ending[0] else []
        if self._reader.stage is Stage.DONE:
            return
        was_thinking = self._reader.stage is Stage.THINKING
        self._reader.read(self._piece(token))
        if was_thinking and not self._ending:
            self._n_left -= 1
        self._check()

    def _check(self) -> None:
        if self._reader.stage is Stage.THINKING and self._n_left <= 0 and not self._ending:
            self._ending = list(self._tokenize(self._reader.missing_end().decode("utf-8", "replace")))
