"""A context: the KV cache and the computation of one model, for several sequences at a time."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ContextLost, LoadError
from models.llama.backend_sampler import BackendChains
from models.llama.batch import BatchArrays
from models.llama.binding import address_function, float_view, lib
from models.llama.logs import load_failure, native_log
from models.llama.media import Media, Projector
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.runner.settings import AdapterSet
from models.sampling.backend import BackendChain

Logits = npt.NDArray[np.float32]
Blob = npt.NDArray[np.uint8]

_KV_TYPES = {"f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}
_FLASH_ATTENTION = {None: -1, False: 0, True: 1}  # Source: llama.h, llama_flash_attn_type


@dataclass(frozen=True, slots=True)
class ContextParams:
    """How a context is made. `n_ctx` counts the cells of all sequences together."""

    n_ctx: int
    n_batch: int
    n_seq_max: int
    n_threads: int
    kv_type: str = "f16"
    flash_attention: bool | None = None
    n_ubatch: int | None = None
    """None: as `n_batch`."""
    embeddings: bool = False
    pooling: int | None = None
    """None: the model's own."""
    shares_cells: bool = True
    """Whether a sequence may use any cell, and several the same one; otherwise each has its part of them."""
    chains: tuple[BackendChain, ...] = ()
    """By which the backend picks the tokens of the first sequences, until they are given others."""
    n_scored: int = 0
    """Tokens whose logits a step may ask for, besides the last one of each sequence."""


def create_context(model: Model, params: ContextParams, chains: BackendChains | None = None) -> Any:
    """The native context; `chains` get those of `params`. Raises: LoadError, OutOfMemory."""
    native = lib.llama_context_default_params()
    native.n_ctx = params.n_ctx
    native.n_batch = params.n_batch
    native.n_ubatch = params.n_ubatch or params.n_batch
    native.n_seq_max = params.n_seq_max
    native.n_threads = native.n_threads_batch = params.n_threads
    native.type_k = native.type_v = getattr(lib, _KV_TYPES[params.kv_type])
    native.flash_attn_type = _FLASH_ATTENTION[params.flash_attention]
    native.embeddings = params.embeddings
    if params.pooling is not None:
        native.pooling_type = params.pooling
    native.kv_unified = params.shares_cells
    native.swa_full = False
    native.no_perf = True
    if not params.embeddings:
        native.n_outputs_max = params.n_seq_max + params.n_scored  # few rows of logits, not one for each token
        native.n_outputs_max_per_seq = 1
    if chains is not None and params.chains:
        configs = chains.prepare(params.chains)
        native.samplers, native.n_samplers = configs, len(configs)
    native_log.forget()
    handle = lib.llama_init_from_model(model.handle, native)
    if not handle:
        if chains is not None:
            chains.free()
        raise load_failure("unable to create a context")
    return handle


def _bytes_of(blob: Blob) -> Any:
    return blob.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


_logits_address = address_function("llama_get_logits")
_probs_address = address_function("llama_get_sampled_probs_ith")
_sampled_logits_address = address_function("llama_get_sampled_logits_ith")


class Context:
    """Computes tokens of up to `n_seq_max` sequences and remembers what it computed for each.

    One thread owns it. Sequence ids run from 0 to n_seq_max - 1.
    """

    def __init__(self, model: Model, params: ContextParams, projector: Projector | None = None) -> None:
        """Allocate. Raises: LoadError, OutOfMemory."""
        self._model = model
        self._projector = projector
        self._params = params
        self.n_vocab = model.vocab.n_tokens
        self.adapters: AdapterSet = ()
        """What it computes with at the moment, besides the weights."""
        self._handle: Any = None
        self._logits: Logits | None = None
        self._chains = BackendChains()
        self._open()
        self.batch = BatchArrays(int(lib.llama_n_batch(self._handle)))
        self.n_batch = self.batch.capacity
        self.n_cells = int(lib.llama_n_ctx(self._handle))
        self.n_seq_max = params.n_seq_max
        self.n_scored = params.n_scored
        self.shares_cells = params.shares_cells
        self.can_shift = bool(lib.llama_memory_can_shift(self._memory))
        self.can_trim = not model.is_recurrent
        self.n_swa = model.n_swa

    def _open(self) -> None:
        self._handle = create_context(self._model, self._params, self._chains)
        self._memory = lib.llama_get_memory(self._handle)
        self._logits_address = 0
        if not self._memory:
            self.close()
            raise LoadError("this model does not generate text")

    @property
    def handle(self) -> Any:
        assert self._handle is not None, "the context is closed"
        return self._handle

    def rebuild(self) -> None:
        """Start over with an empty context after it was lost. Raises: LoadError."""
        self.close()
        self._open()

    def use_adapters(self, adapters: AdapterSet) -> None:
        """Compute with these from now on; each sequence should keep to one set. Raises: LoadError."""
        if adapters != self.adapters:
            self._model.adapters.apply(self, self.handle, adapters)
            self.adapters = adapters

    def decode(self) -> Outcome:
        """Compute `batch`; logits become readable for the tokens that asked for them.

        Units: a position is a token index within its own sequence.
        Raises: ContextLost, after which the context must be rebuilt.
        Source: llama.h, llama_decode: 0 done, 1 no KV slot, 2 aborted, -1 invalid batch, < -1 fatal.
        """
        batch = self.batch
        n_outputs_max = self.n_seq_max + self.n_scored
        assert batch.n_tokens > 0 and batch.n_outputs <= n_outputs_max, "not a batch for this context"
        native_log.forget()
        code = lib.llama_decode(self._handle, batch.native)
        if code == 0:
            return Outcome.DONE
        if code == 1:
            return Outcome.NO_ROOM
        if code == -1:
            return Outcome.REFUSED
        raise ContextLost(f"llama_decode failed with {code}: {native_log.reason or 'no reason given'}")

    def decode_media(self, seq_id: int, media: Media, position: int) -> Outcome:
        """Compute an image or a sound; nothing is predicted from it. What part of it is there after a failure is open.

        Raises: ContextLost, after which the context must be rebuilt.
        """
        assert self._projector is not None, "nothing is prepared without a projector"
        native_log.forget()
        code = self._projector.decode(self._handle, media, seq_id, position, self.n_batch)
        if code == 0:
            return Outcome.DONE
        if code == 1:
            return Outcome.NO_ROOM
        raise ContextLost(f"an image could not be computed ({code}): {native_log.reason or 'no reason given'}")

    def logits(self) -> Logits:
        """Logits of the last decode, (n_outputs, n_vocab) float32, rows in batch order.

        A view into llama.cpp's own buffer: writable, and valid until the next decode.
        """
        n_rows = self.batch.n_outputs
        address = _logits_address(self._handle)
        view = self._logits
        if view is None or address != self._logits_address or len(view) < n_rows:
            view = self._logits = float_view(address, n_rows * self.n_vocab).reshape(n_rows, self.n_vocab)
            self._logits_address = address
        return view[:n_rows]

    def pick_by(self, seq_id: int, chain: BackendChain | None) -> None:
        """How the backend picks a sequence's tokens from the next decode on; None: it leaves that to who reads logits.

        To change it takes some milliseconds. Only after what the last decode left has been read.
        """
        self._chains.give(self._handle, seq_id, chain)

    def picked(self, row: int) -> int | None:
        """The token that the backend picked for a row of the last decode; None: the logits are not numbers.

        Such a row has no logits.
        """
        index = row - self.batch.n_outputs  # llama.cpp counts tokens from the front, rows from the back
        token = int(lib.llama_get_sampled_token_ith(self._handle, index))
        address = _probs_address(self._handle, index) or _sampled_logits_address(self._handle, index)
        is_number = address is not None and isfinite(ctypes.c_float.from_address(address).value)
        return token if token >= 0 and is_number else None

    @property
    def unsupported_filters(self) -> set[str]:
        """Those of the chains that the backend cannot apply: who has them gets no tokens picked."""
        return self._chains.unsupported()

    def remove(self, seq_id: int, start: int) -> bool:
        """Forget a sequence's cells from a position on. False: this memory cannot drop a part; nothing changed."""
        return bool(lib.llama_memory_seq_rm(self._memory, seq_id, start, -1))

    def remove_range(self, seq_id: int, start: int, end: int) -> bool:
        """Forget the cells at positions start … end - 1. False: this memory cannot; nothing changed."""
        return bool(lib.llama_memory_seq_rm(self._memory, seq_id, start, end))

    def forget(self, seq_id: int) -> None:
        """Forget a sequence; never fails."""
        lib.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def copy(self, source: int, target: int) -> None:
        """Let `target`, which must be empty, have the cells of `source`, too; only where cells are shared."""
        assert self._params.shares_cells, "llama.cpp would copy the cells of a whole context"
        lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def move(self, seq_id: int, start: int, end: int, delta: int) -> None:
        """Add `delta` to the positions start … end - 1. Cells shared with other sequences move for them too."""
        lib.llama_memory_seq_add(self._memory, seq_id, start, end, delta)

    def span(self, seq_id: int) -> tuple[int, int]:
        """Smallest and largest position whose state is complete; (-1, -1) when empty."""
        low = lib.llama_memory_seq_pos_min(self._memory, seq_id)
        return int(low), int(lib.llama_memory_seq_pos_max(self._memory, seq_id))

    def state_size(self, seq_id: int) -> int:
        """Bytes that `save` would take."""
        return int(lib.llama_state_seq_get_size(self._handle, seq_id))

    def save(self, seq_id: int) -> Blob | None:
        """A copy of everything that the sequence has, in host memory; None where llama.cpp cannot make one."""
        blob = np.empty(self.state_size(seq_id), dtype=np.uint8)
        n = int(lib.llama_state_seq_get_data(self._handle, _bytes_of(blob), len(blob), seq_id))
        return blob if n == len(blob) > 0 else None

    def restore(self, seq_id: int, blob: Blob) -> bool:
        """Give a sequence what was saved, in place of what it has. False: there were no cells; now it has nothing."""
        if int(lib.llama_state_seq_set_data(self._handle, _bytes_of(blob), len(blob), seq_id)) == len(blob):
            return True
        self.forget(seq_id)
        return False

    def close(self) -> None:
        """Free the context; the model stays."""
        if self._handle:
            self._logits = None
            lib.llama_free(self._handle)
            self._handle = None
            self._chains.free()
            self.adapters = ()
