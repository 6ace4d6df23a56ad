"""The metadata of a file in the making."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from models.errors import CreateFailed
from models.gguf.values import ArrayInfo, Value, ValueType
from models.gguf.writer import encode_pair

ABSOLUTE: Final = ("general.", "tokenizer.", "adapter.")
"""Keys that do not belong to an architecture."""

MAX_UINT32: Final = 2**32 - 1
MAX_FLOAT32: Final = (2 - 2**-23) * 2.0**127

_ELEMENTS: Final = {bool: ValueType.BOOL, int: ValueType.INT32, float: ValueType.FLOAT32, str: ValueType.STRING}


class Keys:
    """Keys with their values, in order; a key set again keeps its place.

    A key of the architecture is given without its prefix.
    """

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self._pairs: dict[str, tuple[ValueType, Value]] = {}
        self.text("general.architecture", architecture)

    def text(self, key: str, value: str) -> None:
        self._set(key, ValueType.STRING, value)

    def uint32(self, key: str, value: int) -> None:
        """Raises: CreateFailed for a number that does not fit."""
        if not 0 <= value <= MAX_UINT32:
            raise CreateFailed(f"{key} is {value}")
        self._set(key, ValueType.UINT32, value)

    def int32(self, key: str, value: int) -> None:
        """Raises: CreateFailed for a number that does not fit."""
        if not -(2**31) <= value < 2**31:
            raise CreateFailed(f"{key} is {value}")
        self._set(key, ValueType.INT32, value)

    def float32(self, key: str, value: float) -> None:
        """Raises: CreateFailed for a number that does not fit."""
        if not abs(value) <= MAX_FLOAT32:
            raise CreateFailed(f"{key} is {value}")
        self._set(key, ValueType.FLOAT32, float(value))

    def flag(self, key: str, value: bool) -> None:
        self._set(key, ValueType.BOOL, bool(value))

    def array(self, key: str, values: Sequence[int] | Sequence[float] | Sequence[bool] | Sequence[str]) -> None:
        """A list of one type, that of its first element; nothing for an empty one."""
        if values:
            element = _ELEMENTS[type(values[0])]
            self._set(key, ValueType.ARRAY, ArrayInfo(element, len(values), tuple(values)))

    def octets(self, key: str, values: bytes) -> None:
        """A list of bytes."""
        self._set(key, ValueType.ARRAY, ArrayInfo(ValueType.UINT8, len(values), tuple(values)))

    def __contains__(self, key: str) -> bool:
        return self._full(key) in self._pairs

    def remove(self, key: str) -> None:
        self._pairs.pop(self._full(key), None)

    def items(self) -> Iterator[tuple[str, ValueType, Value]]:
        """What there is, with full keys."""
        for key, (kind, value) in self._pairs.items():
            yield key, kind, value

    def encoded(self) -> list[bytes]:
        """Every pair as a GGUF file has it. Raises: CreateFailed for a text that is not Unicode."""
        try:
            return [encode_pair(key, kind, value) for key, kind, value in self.items()]
        except UnicodeEncodeError as error:
            raise CreateFailed("a text of the model is not valid Unicode") from error
        except (struct.error, OverflowError) as error:
            raise CreateFailed(f"a number of the model is too large: {error}") from error

    def _full(self, key: str) -> str:
        return key if key.startswith(ABSOLUTE) else f"{self.architecture}.{key}"

    def _set(self, key: str, kind: ValueType, value: Value) -> None:
        self._pairs[self._full(key)] = (kind, value)
