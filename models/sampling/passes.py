"""Passes over the logits of a whole vocabulary, each one call of the library compiled from passes.c.

It lies beside llama.cpp's libraries where Puna's set-up has built them. A wheel of llama-cpp-python has none; there
models.sampling.numpy_passes takes its place. models.sampling.ports says what each pass is for.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import UnusableOutput
from models.llama.folder import library_folder
from models.sampling.chain import LEAST_TEMPERATURE, Floats, Ids
from models.sampling.numpy_passes import NumpyPasses
from models.sampling.ports import MOST_LISTED, Passes
from models.sampling.usable import HIGHEST, LOWEST, UNUSABLE

_FILE = "libpuna_sampling.dylib" if sys.platform == "darwin" else "libpuna_sampling.so"

# As passes.c has them.
_BLOCK, _TABLE, _ROWS = 512, 512, 16
_WEIGHTS, _MOMENTS, _OTHERS, _RANGE = 1, 2, 4, 8

_LINE_BYTES = 64
_LOG2_E = 1 / float(np.log(2))

_ADDRESS, _COUNT, _SINGLE, _DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "puna_best": (_SINGLE, (_ADDRESS, _COUNT, _ADDRESS)),
    "puna_weigh": (None, (_ADDRESS, _COUNT, _ADDRESS, ctypes.c_int, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS)),
    "puna_find": (_COUNT, (_ADDRESS, _COUNT, _ADDRESS, _ADDRESS, _DOUBLE)),
    "puna_at_least": (None, (_ADDRESS, _COUNT, _ADDRESS, ctypes.c_int, _ADDRESS)),
    "puna_between": (_COUNT, (_ADDRESS, _COUNT, _SINGLE, _SINGLE, _ADDRESS, _ADDRESS, _COUNT)),
}


@cache
def library() -> Any:
    """The compiled passes; None where there are none."""
    folder = library_folder()
    return load(folder / _FILE) if folder is not None and (folder / _FILE).exists() else None


def load(path: Path) -> Any:
    """Raises: OSError, AttributeError."""
    found = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def passes_for(n_vocab: int) -> Passes:
    """The quickest there are."""
    compiled = library()
    return NumpyPasses(n_vocab) if compiled is None else CompiledPasses(n_vocab, compiled)


class CompiledPasses:
    """Makes each pass by one call."""

    def __init__(self, n_vocab: int, library: Any) -> None:
        self._lib, self._n = library, n_vocab
        self._row_type: Any = ctypes.c_float * n_vocab
        self._row: Any = None
        self._logits: Floats = np.zeros(0, dtype=np.float32)
        self.best = 0.0
        n_blocks = -(-n_vocab // _BLOCK)
        self.weights = _aligned(n_vocab)
        self._sums, self._others, self._maxima = _aligned(n_blocks), _aligned(n_blocks), _aligned(-(-n_vocab // _ROWS))
        self._ids: Ids = np.zeros(min(MOST_LISTED, n_vocab), dtype=np.int64)
        self._drawn = (ctypes.c_float * 5)()
        self._weighing = (ctypes.c_float * 5)()
        self._least = (ctypes.c_float * 4)()
        self._totals = (ctypes.c_double * 6)()
        self._of_weights, self._of_sums, self._of_others, self._of_maxima, self._of_ids = (
            values.ctypes.data for values in (self.weights, self._sums, self._others, self._maxima, self._ids)
        )
        self._drawn_sums = self._of_sums
        self.total = self.mean = self.variance = self.drawn_total = 0.0

    # ---- the pass that begins ------------------------------------------------------------------------------------

    def read(self, logits: Floats, *, with_maxima: bool = False) -> float:
        self._logits = logits
        row = self._row = self._row_type.from_buffer(logits)  # refuses what is too short or lies in pieces
        best = self._lib.puna_best(row, self._n, self._of_maxima if with_maxima else None)
        if not LOWEST <= best <= HIGHEST:  # NaN compares as false
            raise UnusableOutput(UNUSABLE)
        self.best = self._drawn[0] = self._weighing[0] = best
        return float(best)

    # ---- weights and draws ---------------------------------------------------------------------------------------

    def weigh(self, temperature: float, *, with_moments: bool = False) -> float:
        what = _WEIGHTS | (_MOMENTS if with_moments else 0)
        self._drawn[1] = self._weighing[2] = _scale(temperature)
        self._drawn[3], self._drawn[4] = -HIGHEST, HIGHEST
        self._weighing[1] = _LOG2_E
        if temperature == 1:
            self._drawn_sums = self._of_sums
        else:
            what |= _OTHERS
            self._drawn_sums = self._of_others
        self._weigh(self._weighing, what, self._of_sums)
        totals = self._totals
        self.total = totals[0]
        self.drawn_total = totals[0 if temperature == 1 else 1]
        if with_moments:
            self.mean = totals[2] / self.total / _LOG2_E
            self.variance = max(totals[3] / self.total / _LOG2_E**2 - self.mean**2, 0.0)
        return self.total

    def sum(self, temperature: float, low: float = -HIGHEST, high: float = HIGHEST) -> None:
        self._drawn[1] = _scale(temperature)
        self.restrict(low, high)

    def restrict(self, low: float, high: float) -> None:
        drawn = self._drawn
        drawn[3], drawn[4] = max(low, -HIGHEST), min(high, HIGHEST)
        if high < self.best:  # beside the best token the others may weigh nothing at a low temperature
            drawn[0] = self._logits.max(where=self._logits <= np.float32(high), initial=np.float32(-HIGHEST))
        self._drawn_sums = self._of_others
        self._weigh(drawn, _RANGE if low > -HIGHEST or high < HIGHEST else 0, self._of_others)
        self.drawn_total = self._totals[0]

    def find(self, u: float) -> int:
        token: int = self._lib.puna_find(self._row, self._n, self._drawn, self._drawn_sums, u * self.drawn_total)
        return token

    def _weigh(self, how: Any, what: int, sums: int) -> None:
        self._lib.puna_weigh(self._row, self._n, how, what, self._of_weights, sums, self._of_others, self._totals)

    # ---- questions about weights -----------------------------------------------------------------------------------

    def at_least(self, *weights: float) -> list[float]:
        n = len(weights)
        for i, weight in enumerate(weights):
            self._least[i] = weight
        self._lib.puna_at_least(self._of_weights, self._n, self._least, n, self._totals)
        return self._totals[: 6 if n == 4 else n]

    # ---- lists -----------------------------------------------------------------------------------------------------

    def maxima(self) -> Floats:
        return self._maxima[: self._n // _TABLE * (_TABLE // _ROWS)]

    def between(self, low: float, high: float = HIGHEST, *, with_maxima: bool = False) -> Ids | None:
        return self._between(self._row, low, high, self._of_maxima if with_maxima else None, MOST_LISTED)

    def weighing(self, low: float, high: float, most: int = MOST_LISTED) -> Ids | None:
        return self._between(self._of_weights, low, high, None, most)

    def _between(self, values: Any, low: float, high: float, maxima: int | None, most: int) -> Ids | None:
        most = min(most, len(self._ids))
        n = self._lib.puna_between(values, self._n, low, high, maxima, self._of_ids, most)
        if n > most:
            return None
        ids: Ids = self._ids[:n].copy()
        ids.sort()
        return ids


def _scale(temperature: float) -> float:
    return _LOG2_E / max(temperature, LEAST_TEMPERATURE)


def _aligned(n: int) -> Floats:
    """Zeros; no memory until they are written to."""
    values = np.zeros(n + _LINE_BYTES // 4, dtype=np.float32)
    first = -values.ctypes.data % _LINE_BYTES // 4
    return values[first : first + n]
