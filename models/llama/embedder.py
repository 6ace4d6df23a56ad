"""A context that turns whole inputs into one vector each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ContextLost
from models.llama.batch import BatchArrays
from models.llama.binding import address_function, float_view, lib
from models.llama.context import ContextParams, create_context
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.vocab import Tokens
from models.runner.settings import AdapterSet

Vectors = npt.NDArray[np.float32]

_POOLING_NONE, _POOLING_LAST, _POOLING_RANK = 0, 3, 4  # Source: llama.h, llama_pooling_type


_embedding_address = address_function("llama_get_embeddings_seq")


class Embedder:
    """Pools with the model's own pooling type, several inputs in one batch; nothing is kept between two calls."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        """Allocate. Raises: LoadError, OutOfMemory."""
        self._model = model
        self._params = params
        self.adapters: AdapterSet = ()
        """What it computes with at the moment, besides the weights."""
        self._handle: Any = None
        self._open(params.n_batch)
        pooling = int(lib.llama_pooling_type(self._handle))
        self.pools = pooling != _POOLING_NONE
        self.is_ranking = pooling == _POOLING_RANK
        self.n_embd = model.n_cls_out if self.is_ranking else model.n_embd_out

    def _open(self, n_batch: int) -> None:
        self.close()
        self._params = replace(self._params, n_batch=n_batch, n_ctx=max(self._params.n_ctx, n_batch), embeddings=True)
        self._handle = create_context(self._model, self._params)
        self._memory = lib.llama_get_memory(self._handle)
        self._batch = BatchArrays(n_batch)

    @property
    def n_seq_max(self) -> int:
        return self._params.n_seq_max

    @property
    def n_batch(self) -> int:
        """Tokens of all inputs in one call, unless a single input is longer."""
        return self._params.n_batch

    def use_adapters(self, adapters: AdapterSet) -> None:
        """Compute with these from now on. Raises: LoadError."""
        if adapters != self.adapters:
            self._model.adapters.apply(self, self._handle, adapters)
            self.adapters = adapters

    def embed(self, inputs: Sequence[Tokens], adapters: AdapterSet = ()) -> Vectors:
        """One pooled vector for each input, (n_inputs, n_embd) float32, as the model gives it.

        At most `n_seq_max` inputs, none empty, together within `n_batch`; a single input may be longer, which makes
        the context anew with room for it, since pooling sees an input whole or not at all.
        Raises: ContextLost, LoadError.
        """
        n_tokens = sum(map(len, inputs))
        assert 0 < len(inputs) <= self.n_seq_max and all(len(tokens) for tokens in inputs)
        if n_tokens > self.n_batch:
            assert len(inputs) == 1, "more tokens than the batch has room for"
            self._open(_round_up(n_tokens, 256))
        self.use_adapters(adapters)
        if self._memory:
            lib.llama_memory_clear(self._memory, False)
        self._compute(inputs)
        return np.stack([self._vector(seq_id) for seq_id in range(len(inputs))])

    def _compute(self, inputs: Sequence[Tokens]) -> None:
        self._batch.clear()
        for seq_id, tokens in enumerate(inputs):
            self._batch.add(seq_id, tokens, 0, output=True)
        self._batch.want_all()
        native_log.forget()
        compute = lib.llama_encode if not self._memory else lib.llama_decode
        if (code := compute(self._handle, self._batch.native)) != 0:
            raise ContextLost(f"computing embeddings failed with {code}: {native_log.reason or 'no reason given'}")

    def _vector(self, seq_id: int) -> Vectors:
        address = _embedding_address(self._handle, seq_id)
        if address is None:
            raise ContextLost("llama.cpp gave no embedding")
        return float_view(address, self.n_embd).copy()

    def close(self) -> None:
        if self._handle:
            lib.llama_free(self._handle)
            self._handle = None
            self.adapters = ()


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step
