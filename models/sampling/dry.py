"""DRY ("don't repeat yourself"): tokens that would go on repeating what stands earlier in the text lose likelihood.

Source: llama.cpp's sampler "dry". If the last n tokens also stand further back, what came after them there loses
`multiplier * base ** (n - allowed_length)`. Repetitions end at sequence breakers, and these are never made less likely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.runner.settings import Sampling
from models.sampling.chain import Candidates, Floats

MAX_BREAKER_BYTES = 40
_MAX_TAIL = 20
_LONGEST = 512
"""Repetitions that are longer count as so long; by then a penalty rules its token out."""
_LOG_OF_HIGHEST = np.float32(88.7228391)

Breakers = Mapping[int, Sequence[tuple[int, ...]]]
"""Where a sequence breaker may begin: a token that contains the beginning of one, and the tokens of its rest."""
Tokens = npt.NDArray[np.int32]


def find_breakers(
    text: str, pieces: Sequence[bytes], tokenize: Callable[[str], Iterable[int]]
) -> dict[int, list[tuple[int, ...]]]:
    """The tokens in which a breaker stands or begins. Looks at the whole vocabulary."""
    wanted = text.encode()[:MAX_BREAKER_BYTES]
    found: dict[int, list[tuple[int, ...]]] = {}
    beginnings = [wanted[:length] for length in range(len(wanted) - 1, 0, -1)]
    for token, piece in enumerate(pieces):
        if wanted in piece:
            found[token] = [()]
            continue
        for beginning in beginnings:
            if piece.endswith(beginning):
                rest = wanted[len(beginning) :].decode("utf-8", "ignore")
                found.setdefault(token, []).append(tuple(tokenize(rest))[:_MAX_TAIL])
    return found


def is_active(options: Sampling) -> bool:
    """Whether these options ask for it."""
    return options.dry_multiplier != 0 and options.dry_base >= 1 and options.dry_penalty_last_n != 0


class Dry:
    """Follows the tokens of one sequence, prompt included."""

    def __init__(self, options: Sampling, breakers: Breakers, n_ctx: int) -> None:
        """`n_ctx`: how far back -1 looks."""
        last_n = options.dry_penalty_last_n
        self._last_n = min(last_n if last_n > 0 else n_ctx, max(n_ctx, 1))
        self._allowed = options.dry_allowed_length
        # single precision, as llama.cpp has them
        self._multiplier, self._base = np.float32(options.dry_multiplier), np.float32(options.dry_base)
        self._breakers = breakers
        self._tokens: Tokens = np.empty(2 * self._last_n, dtype=np.int32)
        self._n = 0

    def accept_all(self, tokens: Sequence[int] | Tokens) -> None:
        for token in tokens[-self._last_n :]:
            self.accept(int(token))

    def accept(self, token: int) -> None:
        """Move the window on by one token."""
        if self._n == len(self._tokens):
            self._tokens[: self._last_n] = self._tokens[self._last_n :]
            self._n = self._last_n
        self._tokens[self._n] = token
        self._n += 1

    def apply(self, logits: Floats) -> None:
        """Lower the logits of the tokens that would go on with a repetition, in place."""
        for token, penalty in self._penalties().items():
            logits[token] -= penalty

    def apply_to(self, candidates: Candidates) -> Candidates:
        """The same for candidates; their order may no longer be that of likelihood."""
        penalties = self._penalties()
        logits = candidates.logits.copy()
        for place in np.flatnonzero(np.isin(candidates.ids, list(penalties))):
            logits[place] -= penalties[int(candidates.ids[place])]
        return Candidates(candidates.ids, logits, False)

    def _penalties(self) -> dict[int, np.float32]:
        window = self._tokens[max(0, self._n - self._last_n) : self._n]
        limit = self._since_breaker(window)
        if len(window) <= self._allowed or limit < self._allowed:
            return {}
        return {
            token: self._penalty(length)
            for token, length in self._longest_repeats(window, limit).items()
            if length >= self._allowed and () not in self._breakers.get(token, ())
        }

    def _penalty(self, length: int) -> np.float32:
        exponent = length - self._allowed
        if self._base > 1.000001:
            exponent = min(exponent, int(_LOG_OF_HIGHEST / np.log(self._base)))
        with np.errstate(over="ignore"):
            return np.float32(float(self._multiplier) * float(self._base) ** exponent)

    def _since_breaker(self, window: Tokens) -> int:
        """How many tokens at the end come after the last sequence breaker."""
        recent = window[::-1].tolist()
        for i, token in enumerate(recent):
            lengths = [
                len(tail)
                for tail in self._breakers.get(token, ())
                if len(tail) <= i and list(tail) == recent[i - len(tail) : i][::-1]
            ]
            if lengths:
                return i - max(lengths)
        return len(recent)

    def _longest_repeats(self, window: Tokens, limit: int) -> dict[int, int]:
        """What comes after each repetition of the text's end, and how long the longest such repetition is."""
        longest: dict[int, int] = {}
        last = len(window) - 1
        if self._allowed == 0:
            longest = dict.fromkeys(window[1:].tolist(), 0)
        ends = np.flatnonzero(window[:last] == window[last]) if limit > 0 else np.empty(0, dtype=np.intp)
        length = 1
        while len(ends) and length <= min(limit, _LONGEST):
            if length >= self._allowed:
                for token in window[ends + 1].tolist():
                    longest[token] = length
            ends = ends[ends >= length]
            ends = ends[window[ends - length] == window[last - length]]
            length += 1
        return longest
