"""Passes over the logits of a whole vocabulary, by the library compiled from the .c files beside this.

It lies beside llama.cpp's libraries where Puna's set-up has built them. A wheel of llama-cpp-python has none; there
models.sampling.numpy_passes takes its place. models.sampling.ports says what each pass is for.
"""

from __future__ import annotations

import ctypes
import logging
import random
import sys
from functools import cache, lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import UnusableOutput
from models.llama.folder import library_folder
from models.sampling.chain import LEAST_TEMPERATURE, Filters, Floats, Ids
from models.sampling.numpy_passes import NumpyPasses
from models.sampling.ports import MOST_LISTED, Passes
from models.sampling.rng import draw, number_of
from models.sampling.shortlist import choose_listed, choose_listed_among
from models.sampling.usable import HIGHEST, LOWEST, UNUSABLE

log = logging.getLogger(__name__)

_FILE = "libpuna_sampling.dylib" if sys.platform == "darwin" else "libpuna_sampling.so"

# As passes.h and choose.h have them.
_BLOCK, _TABLE, _ROWS = 512, 512, 16
_WEIGHTS, _MOMENTS = 1, 2
_NOT_A_NUMBER, _NOT_FOUND, _UNDECIDED = -1, -2, -3
_MOST_BEST = 1024

_LINE_BYTES = 64
_LOG2_E = 1 / float(np.log(2))

_ADDRESS, _COUNT, _SINGLE, _BITS = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_uint64
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "puna_best": (_SINGLE, (_ADDRESS, _COUNT, _ADDRESS)),
    "puna_weigh": (None, (_ADDRESS, _COUNT, _ADDRESS, ctypes.c_int, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS)),
    "puna_choose": (_COUNT, (_ADDRESS, _COUNT, _ADDRESS, _BITS, _ADDRESS)),
    "puna_list_bits": (_COUNT, (_ADDRESS, _COUNT, _ADDRESS, _COUNT)),
    "puna_between": (_COUNT, (_ADDRESS, _COUNT, _SINGLE, _SINGLE, _ADDRESS, _ADDRESS, _COUNT)),
}


@cache
def library() -> Any:
    """The compiled passes; None where there are none, or none that fit."""
    folder = library_folder()
    if folder is None or not (folder / _FILE).exists():
        return None
    try:
        return load(folder / _FILE)
    except (OSError, AttributeError) as error:  # a checkout that went on since it was set up
        log.warning("the compiled passes do not fit, numpy takes their place; `make setup` mends that: %s", error)
        return None


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


def tokens_of(bits: npt.NDArray[np.uint32], n_vocab: int) -> Ids:
    """The tokens whose bits are set, the first token's being the lowest of the first word."""
    compiled = library()
    if compiled is not None:
        found: Ids = np.empty(_MOST_BEST, dtype=np.int64)
        n = compiled.puna_list_bits(bits.ctypes.data, n_vocab, found.ctypes.data, len(found))
        if n <= len(found):
            return found[:n]
    flags = np.unpackbits(bits.view(np.uint8), count=n_vocab, bitorder="little")
    return np.flatnonzero(flags.view(np.bool_))  # of bytes it would take ten times as long


class CompiledPasses:
    """Makes each pass, or all that it takes to choose a token, by one call."""

    def __init__(self, n_vocab: int, library: Any) -> None:
        self._lib, self._n = library, n_vocab
        self._row_type: Any = ctypes.c_float * n_vocab
        self._row: Any = None
        n_blocks = -(-n_vocab // _BLOCK)
        self.weights = _aligned(n_vocab)
        self._sums, self._others, self._maxima = _aligned(n_blocks), _aligned(n_blocks), _aligned(-(-n_vocab // _ROWS))
        self._ids: Ids = np.zeros(min(MOST_LISTED, n_vocab), dtype=np.int64)
        self._of_weights, self._of_sums, self._of_others, self._of_maxima, self._of_ids = (
            values.ctypes.data for values in (self.weights, self._sums, self._others, self._maxima, self._ids)
        )
        self._few = _aligned(_MOST_BEST)
        self._of_few = self._few.ctypes.data
        self._space = (ctypes.c_void_p * 4)(self._of_weights, self._of_sums, self._of_others, self._of_maxima)
        self._weighing = (ctypes.c_float * 5)(0, _LOG2_E, _LOG2_E, -HIGHEST, HIGHEST)
        self._totals = (ctypes.c_double * 4)()
        self.mean = 0.0

    def choose(self, logits: Floats, filters: Filters, source: random.Random) -> int:
        row = self._row_type.from_buffer(logits)  # refuses what is too short or lies in pieces
        bits, token = source.getrandbits(64), _NOT_FOUND
        if filters.top_k <= _MOST_BEST:
            token = self._lib.puna_choose(row, self._n, _native(filters), bits, self._space)
        if token >= 0:
            return token
        if token == _NOT_A_NUMBER:
            raise UnusableOutput(UNUSABLE)
        drawn = None if token == _NOT_FOUND else _UNDECIDED - token
        u = number_of(bits) if filters.top_k > 0 else draw(source)  # of all, what was drawn has failed
        return choose_listed(self, logits, filters, u, drawn)

    def choose_among(self, logits: Floats, tokens: Ids, filters: Filters, source: random.Random) -> int:
        n = len(tokens)
        if not 0 < n <= _MOST_BEST:
            return choose_listed_among(logits, tokens, filters, draw(source))
        self._few[:n] = logits[tokens]
        asked = _native(filters if filters.top_k > 0 else filters._replace(top_k=_MOST_BEST))
        place = self._lib.puna_choose(self._of_few, n, asked, source.getrandbits(64), self._space)
        if place < 0:
            raise UnusableOutput(UNUSABLE)
        return int(tokens[place])

    def read(self, logits: Floats, *, with_maxima: bool = False) -> float:
        row = self._row = self._row_type.from_buffer(logits)
        best = self._lib.puna_best(row, self._n, self._of_maxima if with_maxima else None)
        if not LOWEST <= best <= HIGHEST:  # NaN compares as false
            raise UnusableOutput(UNUSABLE)
        self._weighing[0] = best
        return float(best)

    def weigh(self, *, with_mean: bool = False) -> float:
        what = _WEIGHTS | (_MOMENTS if with_mean else 0)
        how, totals = self._weighing, self._totals
        self._lib.puna_weigh(self._row, self._n, how, what, self._of_weights, self._of_sums, None, totals)
        self.mean = totals[2] / totals[0] / _LOG2_E
        return totals[0]

    def maxima(self) -> Floats:
        return self._maxima[: self._n // _TABLE * (_TABLE // _ROWS)]

    def from_logit(self, low: float) -> Ids | None:
        most = len(self._ids)
        n = self._lib.puna_between(self._row, self._n, low, HIGHEST, self._of_maxima, self._of_ids, most)
        if n > most:
            return None
        ids: Ids = self._ids[:n].copy()
        ids.sort()
        return ids


class _Filters(ctypes.Structure):
    _fields_ = (
        ("k", _COUNT),
        *((name, _SINGLE) for name in ("temperature", "typical_p", "top_p", "min_p", "deviations")),
    )


@lru_cache(maxsize=256)
def _native(filters: Filters) -> Any:
    """A reference to what the library reads."""
    temperature, typical_p, top_p, min_p, top_k = filters
    if temperature > 0:
        temperature = max(temperature, LEAST_TEMPERATURE)
    deviations = NormalDist().inv_cdf((1 + min(max(typical_p, 1e-3), 0.999)) / 2)
    return ctypes.byref(_Filters(top_k, temperature, typical_p, top_p, min_p, deviations))


def _aligned(n: int) -> Floats:
    """Zeros; no memory until they are written to."""
    values = np.zeros(n + _LINE_BYTES // 4, dtype=np.float32)
    first = -values.ctypes.data % _LINE_BYTES // 4
    return values[first : first + n]
