"""llama.cpp's quantizer: one GGUF file in, another one out."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.llama.binding import lib, start_backends
from models.llama.logs import native_log
from models.llama.threads import default_threads

Importance = Mapping[str, npt.NDArray[np.float32]]
"""Tensor's name → weight of each of its columns, for a stack of experts one row after the other."""

_TENSOR_DONE = re.compile(r"^\[ *\d+/ *\d+\] +(\S+)")


class QuantizingFailed(ModelError):
    """llama.cpp could not do it; the text is its reason."""


@dataclass(frozen=True)
class Quantizing:
    """`file_type`: llama.h's llama_ftype. `precise`: patterns of tensors' names with the ggml types that they get."""

    source: Path
    target: Path
    file_type: int
    precise: Sequence[tuple[str, int]] = ()
    importance: Importance = field(default_factory=dict)


def quantize(job: Quantizing, on_tensor: Callable[[str], None]) -> None:
    """Write `job.target`; blocks, with all cores that this process may use. `on_tensor`: the name of each one done.

    The source is read by native code that aborts on what it does not expect: call it in a process of its own.
    Raises: QuantizingFailed.
    """
    start_backends()
    native_log.install()
    native_log.on_line = lambda line: _report(line, on_tensor)
    native_log.forget()
    params = lib.llama_model_quantize_default_params()
    params.nthread = default_threads()
    params.ftype = job.file_type
    overrides = _overrides(job.precise)
    if overrides is not None:
        params.tt_overrides = overrides
    importance = _importance(job.importance)
    if importance is not None:
        params.imatrix = importance
    if lib.llama_model_quantize(bytes(job.source), bytes(job.target), ctypes.byref(params)) != 0:
        raise QuantizingFailed(_reason(native_log.reason))


def _report(line: str, on_tensor: Callable[[str], None]) -> None:
    # The library tells of its progress nowhere but in its log: a line for each tensor, complete when that is written.
    if (found := _TENSOR_DONE.match(line)) is not None:
        on_tensor(found[1])


def _overrides(precise: Sequence[tuple[str, int]]) -> ctypes.Array[ctypes.Structure] | None:
    """The array that llama.h wants; its last element is empty."""
    if not precise:
        return None
    found = (lib.llama_model_tensor_override * (len(precise) + 1))()
    for entry, (pattern, kind) in zip(found, precise, strict=False):
        entry.pattern, entry.type = pattern.encode(), kind
    return found  # type: ignore[no-any-return]  # ctypes' declarations are untyped


def _importance(importance: Importance) -> ctypes.Array[ctypes.Structure] | None:
    if not importance:
        return None
    found = (lib.llama_model_imatrix_data * (len(importance) + 1))()
    for entry, (name, values) in zip(found, importance.items(), strict=False):
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    return found  # type: ignore[no-any-return]


def _reason(log: str) -> str:
    """The last thing llama.cpp says is what went wrong: `llama_model_quantize: failed to quantize: <reason>`."""
    lines = [line for line in log.splitlines() if not set(line) <= {"=", " "}]
    last = lines[-1] if lines else "no reason given"
    return last.rpartition("failed to quantize: ")[2]
