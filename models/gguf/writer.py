"""Encodes the parts of a GGUF file: for files that are put together from others, of which most is copied as it is."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from models.gguf.values import STRUCT_CODES, ArrayInfo, ByteOrder, TensorInfo, Value, ValueType

VERSION: Final = 3


def encode_start(n_tensors: int, n_pairs: int, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """Magic, version and counts."""
    magic = b"GGUF" if order is ByteOrder.LITTLE else b"FUGG"
    return magic + struct.pack(f"{order.value}IQQ", VERSION, n_tensors, n_pairs)


def encode_pair(key: str, value_type: ValueType, value: Value, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """One key with its value; an array must have its elements."""
    return _text(key, order) + _number(ValueType.UINT32, value_type, order) + _value(value_type, value, order)


def encode_tensor(tensor: TensorInfo, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """One entry of the list of tensors."""
    n = len(tensor.shape)
    numbers = struct.pack(f"{order.value}I{n}QIQ", n, *tensor.shape, tensor.type, tensor.offset)
    return _text(tensor.name, order) + numbers


def lay_out(tensors: Iterable[TensorInfo], alignment: int) -> tuple[TensorInfo, ...]:
    """The tensors with the offsets that they have one behind the other."""
    placed: list[TensorInfo] = []
    offset = 0
    for tensor in tensors:
        placed.append(TensorInfo(tensor.name, tensor.shape, tensor.type, offset))
        offset = aligned(offset + tensor.size_bytes, alignment)
    return tuple(placed)


def aligned(n_bytes: int, alignment: int) -> int:
    """The next multiple of the alignment."""
    return -(-n_bytes // alignment) * alignment


def _value(value_type: ValueType, value: Value, order: ByteOrder) -> bytes:
    match value:
        case ArrayInfo(type=element, values=values):
            if values is None:
                raise ValueError("an array whose elements were skipped")
            elements = b"".join(_value(element, item, order) for item in values)
            return struct.pack(f"{order.value}IQ", element, len(values)) + elements
        case str():
            return _text(value, order)
        case _:
            return _number(value_type, value, order)


def _number(value_type: ValueType, value: int | float | bool, order: ByteOrder) -> bytes:
    return struct.pack(order.value + STRUCT_CODES[value_type], value)


def _text(text: str, order: ByteOrder) -> bytes:
    raw = text.encode()
    return struct.pack(f"{order.value}Q", len(raw)) + raw
