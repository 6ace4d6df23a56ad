"""The low-level functions of llama.cpp.

`import llama_cpp` would run the binding's high-level package: chat formats, jinja2, a disk cache, half a second. Its
module of ctypes declarations needs none of that, so it is loaded below a bare package object that runs nothing.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import LoadError
from models.llama.openmp import bound_spinning

_PACKAGE = "llama_cpp"


def _import_declarations(name: str) -> Any:
    """A module of the package, imported without `llama_cpp/__init__.py`."""
    if _PACKAGE in sys.modules:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("llama-cpp-python is not installed", name=_PACKAGE)
    bare = ModuleType(_PACKAGE)
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = bare
    try:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    finally:
        del sys.modules[_PACKAGE]  # whoever wants the whole package can still import it


bound_spinning()
lib: Any = _import_declarations(_PACKAGE)


def load_media_library() -> Any:
    """The functions of mtmd.h, for models that see or hear; a library of its own, loaded when one is needed."""
    return _import_declarations("mtmd_cpp")


def address_function(name: str) -> Any:
    """A function that returns a pointer, as one that returns an address: no pointer object for every call."""
    function = lib._lib[name]  # another one than the declared `lib._lib.name`
    function.argtypes = getattr(lib, name).argtypes
    function.restype = ctypes.c_void_p
    return function


def float_view(address: int, n: int) -> npt.NDArray[np.float32]:
    """The n floats at a native address, not copied: valid as long as the native memory is."""
    values: Any = (ctypes.c_float * n).from_address(address)
    return np.frombuffer(values, dtype=np.float32)


def encode_path(path: str) -> bytes:
    """Raises: LoadError."""
    raw = path.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise LoadError(f"invalid path: {path!r}")
    return raw


def has_gpu() -> bool:
    """Whether this build can compute on a GPU that is there."""
    return bool(lib.llama_supports_gpu_offload())


def start_backends() -> None:
    """Make the compute devices known; call once, before the first model is loaded.

    A build with one library per CPU generation registers nothing by itself: its backends lie beside the library.
    """
    lib.llama_backend_init()
    native = lib._lib
    native.ggml_backend_dev_count.restype = ctypes.c_size_t
    if native.ggml_backend_dev_count() == 0:
        folder = Path(native._name).parent
        native.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
        native.ggml_backend_load_all_from_path.restype = None
        native.ggml_backend_load_all_from_path(str(folder).encode())
