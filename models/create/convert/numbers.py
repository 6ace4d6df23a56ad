"""How numbers are stored: in safetensors files, in memory on their way, in GGUF files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CHUNK_ELEMENTS: Final = 4 * 1024 * 1024
BLOCK_ELEMENTS: Final = 64 * 1024
"""What stays in the processor's cache, with its changed copies."""

HALF: Final = np.float32(0.5)
SMALLEST_NORMAL: Final = np.float32(2.0**-14)
ROUNDED_TO_INFINITY: Final = np.float32(65520.0)
"""Of float16."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A number format: what numpy holds it in, and its ggml type, -1 where ggml has none.

    `numpy` is the format itself, or for those that numpy does not know integers of the same size.
    """

    name: str
    numpy: np.dtype[Any]
    ggml: int = -1
    is_plain: bool = True

    @property
    def item_bytes(self) -> int:
        return self.numpy.itemsize


def _kind(name: str, code: str, ggml: int = -1, *, is_plain: bool = True) -> Kind:
    return Kind(name, np.dtype(code), ggml, is_plain)


F32: Final = _kind("F32", "<f4", 0)
F16: Final = _kind("F16", "<f2", 1)
BF16: Final = _kind("BF16", "<u2", 30, is_plain=False)
F8_E4M3: Final = _kind("F8_E4M3", "u1", is_plain=False)
F8_E5M2: Final = _kind("F8_E5M2", "u1", is_plain=False)
I32: Final = _kind("I32", "<i4", 26)
U8: Final = _kind("U8", "u1")
FROM_F8: Final = _kind("F32 from F8_E4M3", "<f4")
"""Numbers of eight bits that their scales have been applied to."""

MXFP4: Final = _kind("MXFP4", "u1", 39, is_plain=False)
"""Blocks of 32 numbers in 17 bytes, as bytes: the last dimension of such a tensor counts bytes."""

_OTHERS: Final = {"F64": "<f8", "I64": "<i8", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2"}

DTYPES: Final = {kind.name: kind for kind in (F32, F16, BF16, F8_E4M3, F8_E5M2, I32, U8)} | {
    **{name: _kind(name, code) for name, code in _OTHERS.items()},
    "BOOL": _kind("BOOL", "?"),
    "F8_E8M0": _kind("F8_E8M0", "u1"),  # scales: never numbers of their own
}
"""What a safetensors file may call its types."""

FLOATS: Final = (F32, F16)
"""What can be computed with."""


def to_floats(array: Array, kind: Kind) -> Array:
    """The same numbers in float32; float16 stays, as in upstream's converter, which computes in it, too."""
    if kind in FLOATS:
        return array
    if kind == BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    if kind in (F8_E4M3, F8_E5M2):
        values: Array = _eight_bit_table(kind.name).take(array)
        return values
    return array.astype(np.float32, copy=False)


def encoded(array: Array, kind: Kind, target: Kind) -> Iterator[Array]:
    """The numbers of an array in another format, in pieces, flat."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if kind == target:
        yield flat
        return
    for start in range(0, flat.size, CHUNK_ELEMENTS):
        yield _encode(to_floats(flat[start : start + CHUNK_ELEMENTS], kind), target)


def _encode(floats: Array, target: Kind) -> Array:
    if target == BF16:
        return _to_bf16(floats.astype(np.float32, copy=False))
    if target == F16 and floats.dtype == np.float32:
        return _to_f16(floats)
    with np.errstate(over="ignore"):  # beyond float16: infinity, as everywhere
        return floats.astype(target.numpy)


def _to_f16(floats: Array) -> Array:
    """To the nearest, ties to even; beyond its range infinity.

    What numpy's own conversion gives, which takes 30 times as long for a number that the processor reports as too small
    or too large. So here all that is too small is rounded beforehand: in float32, the numbers from 0.5 to 1 are as far
    from each other as the smallest of float16.
    """
    halves = np.empty(floats.shape, np.float16)
    for start in range(0, floats.size, BLOCK_ELEMENTS):
        block = floats[start : start + BLOCK_ELEMENTS]
        sizes = np.abs(block)
        with np.errstate(invalid="ignore"):  # of what is no number, which is not taken anyway
            np.copyto(sizes, (sizes + HALF) - HALF, where=sizes < SMALLEST_NORMAL)
        np.copyto(sizes, np.float32(np.inf), where=sizes >= ROUNDED_TO_INFINITY)
        halves[start : start + BLOCK_ELEMENTS] = np.copysign(sizes, block, out=sizes)
    return halves


def _to_bf16(floats: Array) -> Array:
    """To the nearest, ties to even; what is not a number stays so, and quiet."""
    bits = floats.view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    if is_nan.any():
        rounded = np.where(is_nan, (bits >> 16) | np.uint32(0x40), rounded)
    halves: Array = rounded.astype(np.uint16)
    return halves


@cache
def _eight_bit_table(name: str) -> Array:
    """The value of each of the 256 codes: E4M3 without infinities, E5M2 with them."""
    codes = np.arange(256, dtype=np.uint32)
    mantissa_bits, bias = (3, 7) if name == "F8_E4M3" else (2, 15)
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent = ((codes & 0x7F) >> mantissa_bits).astype(np.int64)
    fraction = (codes & ((1 << mantissa_bits) - 1)) / float(1 << mantissa_bits)
    normal = np.where(exponent > 0, 1.0 + fraction, fraction) * np.exp2(np.maximum(exponent, 1) - bias)
    values: Array = (sign * normal).astype(np.float32)
    if name == "F8_E4M3":
        values[[0x7F, 0xFF]] = np.nan
    else:
        values[[0x7C, 0xFC]] = [np.inf, -np.inf]
        values[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan
    return values
