"""LoRA adapters of one model: read when they are first needed, applied to a context when a decode wants them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from models.errors import InvalidGGUF, LoadError, OutOfMemory
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF
from models.llama.adapter_files import flaw_of
from models.llama.binding import encode_path, lib
from models.llama.logs import load_failure, native_log
from models.runner.settings import AdapterSet, HeldAdapters

_READ_BYTES = 1 << 20
_MOST_TRIED = 1000
"""Sets of which is remembered whether they work; requests may choose scales, so there is no end of them."""


class User(Protocol):
    """A context, which computes with one set at a time."""

    @property
    def adapters(self) -> AdapterSet: ...
    def use_adapters(self, adapters: AdapterSet) -> None: ...


class LoadedAdapter(NamedTuple):
    """The native adapter, and what it takes."""

    handle: Any
    host_bytes: int
    device_bytes: int


class Adapters:
    """The adapters in memory, by path. They belong to the model, and go with it.

    The thread that owns the contexts calls it: llama.cpp looks through the adapters when it plans a decode.
    """

    def __init__(self, model: object, model_path: str) -> None:
        """`model`: the native one."""
        self._model = model
        self._model_path = model_path
        self._loaded: dict[str, LoadedAdapter] = {}
        self._users: WeakSet[User] = WeakSet()
        self.wanted: Callable[[], Collection[AdapterSet]] = tuple
        """The sets that requests have not done with: theirs stay."""
        self.probe: Callable[[AdapterSet], bool] = lambda adapters: True
        """Whether the model computes numbers with a set; asked before the first context does."""
        self._is_sound: dict[AdapterSet, bool] = {(): True}

    @property
    def held(self) -> HeldAdapters:
        loaded = self._loaded.values()
        n_device = sum(adapter.device_bytes for adapter in loaded)
        return HeldAdapters(tuple(self._loaded), sum(adapter.host_bytes for adapter in loaded) + n_device, n_device)

    def read_ahead(self, paths: Iterable[str]) -> None:
        """Have the system read the files, so that `load` takes no longer than a copy. Any thread may call this."""
        for path in paths:
            if path not in self._loaded:
                with suppress(OSError), open(path, "rb") as file:  # `load` says what is wrong with it
                    while file.read(_READ_BYTES):
                        pass

    def load(self, paths: Iterable[str]) -> None:
        """Have these in memory; where there is too little of it, idle ones make room. Raises: LoadError."""
        paths = tuple(paths)
        for path in paths:
            if path in self._loaded:
                continue
            try:
                self._loaded[path] = self._read(path)
            except OutOfMemory:
                if not self._free(paths):
                    raise
                self._loaded[path] = self._read(path)

    def free_idle(self) -> None:
        """Give up what no request needs."""
        self._free(())

    def apply(self, user: User, context: Any, adapters: AdapterSet) -> None:
        """Let a context, which is `user`'s, compute with these from now on, and no others. Raises: LoadError.

        It plans its next decode anew then: with 30 layers that takes 4 ms.
        """
        self.load(adapter.path for adapter in adapters)
        if not self._try(adapters):
            raise LoadError("unable to load adapter: the model does not compute numbers with it")
        scales: dict[str, float] = {}
        for adapter in adapters:  # llama.cpp counts an adapter once; twice in the set means twice as much of it
            scales[adapter.path] = scales.get(adapter.path, 0.0) + adapter.scale
        n = len(scales)
        handles = (lib.llama_adapter_lora_p_ctypes * n)(*(self._loaded[path].handle for path in scales))
        if lib.llama_set_adapters_lora(context, handles, n, (ctypes.c_float * n)(*scales.values())) != 0:
            raise LoadError("unable to apply adapters")
        self._users.add(user)

    def _try(self, adapters: AdapterSet) -> bool:
        if adapters not in self._is_sound:
            if len(self._is_sound) > _MOST_TRIED:
                self._is_sound = {(): True}
            self._is_sound[adapters] = True  # for the context that tries it
            try:
                self._is_sound[adapters] = self.probe(adapters)
            except LoadError:
                del self._is_sound[adapters]
                raise
        return self._is_sound[adapters]

    def _read(self, path: str) -> LoadedAdapter:
        native_log.forget()
        host, device = native_log.buffers.host_bytes, native_log.buffers.device_bytes
        handle = lib.llama_adapter_lora_init(self._model, encode_path(path))
        if not handle:
            raise load_failure("unable to load adapter")
        if flaw := self._flaw_of(path):
            lib.llama_adapter_lora_free(handle)
            raise LoadError(f"unable to load adapter: {flaw}")
        return LoadedAdapter(handle, native_log.buffers.host_bytes - host, native_log.buffers.device_bytes - device)

    def _flaw_of(self, path: str) -> str | None:
        try:
            return flaw_of(read_gguf(Path(path)), self._model_head)
        except (OSError, InvalidGGUF) as error:
            return str(error)

    @cached_property
    def _model_head(self) -> GGUF:
        return read_gguf(Path(self._model_path))

    def _free(self, needed: Collection[str]) -> bool:
        """Give up all but these and those that requests want. False: there were none."""
        stay = {adapter.path for wanted in self.wanted() for adapter in wanted}.union(needed)
        going = [path for path in self._loaded if path not in stay]
        for user in list(self._users):
            if any(adapter.path in going for adapter in user.adapters):
                user.use_adapters(())
        for path in going:
            lib.llama_adapter_lora_free(self._loaded.pop(path).handle)
        return bool(going)
