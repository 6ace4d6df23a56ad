"""What a GGUF file holds, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final, TypeVar

from models.gguf.names import block_shape

T = TypeVar("T")

MAX_UINT64: Final = 2**64 - 1


class ByteOrder(Enum):
    """Byte order of a file; the value is its sign in a `struct` format."""

    LITTLE = "<"
    BIG = ">"


class ValueType(IntEnum):
    """Type of a metadata value (GGUF specification, gguf_metadata_value_type)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


STRUCT_CODES: Final = MappingProxyType(
    {
        ValueType.UINT8: "B",
        ValueType.INT8: "b",
        ValueType.UINT16: "H",
        ValueType.INT16: "h",
        ValueType.UINT32: "I",
        ValueType.INT32: "i",
        ValueType.FLOAT32: "f",
        ValueType.BOOL: "?",
        ValueType.UINT64: "Q",
        ValueType.INT64: "q",
        ValueType.FLOAT64: "d",
    }
)
"""`struct` letter of every type with a fixed width."""


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array of `count` elements, the first of them at `offset` in the file; `values` None: they were skipped."""

    type: ValueType
    count: int
    values: tuple[int | float | bool | str, ...] | None = None
    offset: int = 0


Value = int | float | bool | str | ArrayInfo


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's entry: `shape` innermost first, `type` a ggml type number, `offset` bytes into the tensor data."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the data; 0 for a type that is not known."""
        elements_per_block, bytes_per_block = block_shape(self.type)
        return self.n_elements * bytes_per_block // elements_per_block


@dataclass(frozen=True, slots=True)
class GGUF:
    """A file's metadata and list of tensors.

    `metadata` is in the file's order; `types` has the same keys, and so has `spans`: where in the file a key starts and
    its value ends. `tensors` is None when they were not read, and then
    `data_offset` (where the tensor data starts) is 0. `complete` is False when reading stopped before the last key.
    """

    version: int
    byte_order: ByteOrder
    size_bytes: int
    metadata: dict[str, Value] = field(default_factory=dict)
    types: dict[str, ValueType] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    tensors: tuple[TensorInfo, ...] | None = None
    alignment: int = 32
    data_offset: int = 0
    complete: bool = True

    @property
    def architecture(self) -> str:
        """`general.architecture`, or `unknown`."""
        return self.text("general.architecture") or "unknown"

    @property
    def parameter_count(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.n_elements for tensor in self.tensors or ())

    def full_key(self, key: str) -> str:
        """A key with the architecture's prefix, unless it is one of `general.` or `tokenizer.`."""
        return key if key.startswith(("general.", "tokenizer.")) else f"{self.architecture}.{key}"

    def uint32(self, key: str) -> int | None:
        """An unsigned 32-bit value. None if the key is absent or its value has any other type.

        Compat: registry-store-cli 10.1, lookups are by exact type: a `block_count` stored with 64 bits reads as absent.
        """
        return self._typed(key, ValueType.UINT32, int)

    def text(self, key: str) -> str | None:
        return self._typed(key, ValueType.STRING, str)

    def flag(self, key: str) -> bool | None:
        return self._typed(key, ValueType.BOOL, bool)

    def float32(self, key: str) -> float | None:
        return self._typed(key, ValueType.FLOAT32, float)

    def integers(self, key: str) -> tuple[int, ...]:
        """An integer of any width as one element, the elements of an array of integers, or nothing."""
        value = self.metadata.get(self.full_key(key))
        values = (value.values or ()) if isinstance(value, ArrayInfo) else (value,)
        return tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool))

    def array(self, key: str) -> ArrayInfo | None:
        return self._typed(key, ValueType.ARRAY, ArrayInfo)

    def has(self, key: str) -> bool:
        """Whether the key is there, with a value of any type."""
        return self.full_key(key) in self.metadata

    def _typed(self, key: str, wanted: ValueType, kind: type[T]) -> T | None:
        full = self.full_key(key)
        value = self.metadata.get(full)
        return value if self.types.get(full) is wanted and isinstance(value, kind) else None
