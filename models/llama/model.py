"""A loaded model: its weights, vocabulary, adapters, and what it can do."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType

from models.llama.adapters import Adapters
from models.llama.binding import encode_path, lib
from models.llama.logs import load_failure, native_log
from models.llama.repacking import should_repack
from models.llama.vocab import Vocab

OnProgress = Callable[[float], bool]
"""Receives 0 to 1; False aborts the load."""


class Model:
    """Weights in memory; owns them and every adapter until `close`."""

    def __init__(
        self,
        path: str,
        *,
        n_gpu_layers: int,
        main_gpu: int | None = None,
        use_mmap: bool = True,
        use_mlock: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Load the file. Raises: LoadError, OutOfMemory."""
        params = lib.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.load_mode = _load_mode(use_mmap=use_mmap, use_mlock=use_mlock)
        params.use_extra_bufts = should_repack(Path(path))
        if main_gpu is not None:
            params.main_gpu = main_gpu
            params.split_mode = lib.LLAMA_SPLIT_MODE_NONE
        if on_progress is not None:
            params.progress_callback = lib.llama_progress_callback(lambda fraction, _: on_progress(fraction))
        native_log.forget()
        self._handle = lib.llama_model_load_from_file(encode_path(path), params)
        if not self._handle:
            raise load_failure("unable to load model")
        self.vocab = Vocab(lib.llama_model_get_vocab(self._handle))
        self.adapters = Adapters(self._handle, path)

    @property
    def handle(self) -> object:
        assert self._handle is not None, "the model is closed"
        return self._handle

    @cached_property
    def n_ctx_train(self) -> int:
        return max(int(lib.llama_model_n_ctx_train(self.handle)), 0)  # a file may say more than 32 bits hold

    @cached_property
    def n_embd_out(self) -> int:
        return int(lib.llama_model_n_embd_out(self.handle))

    @cached_property
    def n_cls_out(self) -> int:
        """Scores of a classifier, which reranking models are."""
        return int(lib.llama_model_n_cls_out(self.handle))

    @cached_property
    def n_swa(self) -> int:
        """Width of the sliding attention window; 0: every token sees all before it."""
        return int(lib.llama_model_n_swa(self.handle))

    @cached_property
    def has_encoder(self) -> bool:
        return bool(lib.llama_model_has_encoder(self.handle))

    @cached_property
    def has_decoder(self) -> bool:
        return bool(lib.llama_model_has_decoder(self.handle))

    @cached_property
    def is_recurrent(self) -> bool:
        """Whether its state is, in part or whole, one that cannot go back (Mamba, RWKV, hybrids)."""
        return bool(lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle))

    @cached_property
    def pooling_type(self) -> int | None:
        """How the model makes one embedding of many tokens, if it is made for that. Source: llama_pooling_type."""
        text = self.metadata(f"{self.metadata('general.architecture')}.pooling_type")
        return int(text) if text else None

    @cached_property
    def size_bytes(self) -> int:
        """All tensors together."""
        return int(lib.llama_model_size(self.handle))

    def metadata(self, key: str) -> str | None:
        """A scalar of the file's metadata as text."""
        buffer = ctypes.create_string_buffer(512)
        n = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return None if n < 0 else buffer.value.decode("utf-8", "replace")

    def close(self) -> None:
        """Free the weights; every context must be closed before."""
        if self._handle:
            lib.llama_model_free(self._handle)
            self._handle = None

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _load_mode(*, use_mmap: bool, use_mlock: bool) -> int:
    """Source: llama.h, llama_load_mode."""
    if use_mlock:
        return int(lib.LLAMA_LOAD_MODE_MMAP_MLOCK if use_mmap else lib.LLAMA_LOAD_MODE_MLOCK)
    return int(lib.LLAMA_LOAD_MODE_MMAP if use_mmap else lib.LLAMA_LOAD_MODE_NONE)
