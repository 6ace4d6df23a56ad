"""The arrays of one llama_decode call, allocated once and written through numpy."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from models.llama.binding import lib
from models.llama.vocab import Tokens


class BatchArrays:
    """Room for `capacity` tokens of one sequence each, in the layout llama.cpp reads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tokens = np.zeros(capacity, dtype=np.int32)
        self._positions = np.zeros(capacity, dtype=np.int32)
        self._sequences = np.zeros(capacity, dtype=np.int32)
        self._outputs = np.zeros(capacity, dtype=np.int8)
        self._ones = np.ones(capacity, dtype=np.int32)
        self._counting = np.arange(capacity, dtype=np.int32)
        base = self._sequences.ctypes.data
        self._sequence_pointers = np.arange(base, base + 4 * capacity, 4, dtype=np.uint64)  # token i → &sequences[i]
        self._native = lib.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._positions, ctypes.c_int32),
            n_seq_id=_pointer(self._ones, ctypes.c_int32),
            seq_id=_pointer(self._sequence_pointers, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._outputs, ctypes.c_int8),
        )
        self.n_tokens = 0
        self.n_outputs = 0

    def clear(self) -> None:
        self.n_tokens = self.n_outputs = 0

    def add(self, seq_id: int, tokens: Tokens, position: int, *, output: bool, every: bool = False) -> None:
        """Append consecutive tokens of a sequence; `output`: logits of the last one are wanted, or of `every` one."""
        start = self.n_tokens
        end = start + len(tokens)
        assert end <= self.capacity, "more tokens than the batch has room for"
        self._tokens[start:end] = tokens
        self._sequences[start:end] = seq_id
        self._outputs[start:end] = 0
        if end - start == 1:
            self._positions[start] = position
        else:
            np.add(self._counting[: end - start], position, out=self._positions[start:end])
        if output:
            first = start if every else end - 1
            self._outputs[first:end] = 1
            self.n_outputs += end - first
        self.n_tokens = end

    def want_all(self) -> None:
        """Every token is an output, as pooling needs it."""
        self._outputs[: self.n_tokens] = 1
        self.n_outputs = self.n_tokens

    @property
    def native(self) -> object:
        self._native.n_tokens = self.n_tokens
        return self._native


def _pointer(array: npt.NDArray[Any], kind: type) -> object:
    return array.ctypes.data_as(ctypes.POINTER(kind))
