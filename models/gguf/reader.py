"""Reads what a GGUF file says about itself, and believes nothing that it has not checked against the file.

The file is read in windows, not mapped: a mapped file that shrinks kills the process. Tensor data is never touched,
skipped arrays cost one step of a loop per string and nothing per number, and memory stays bounded by `WINDOW_BYTES`
and what is returned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from struct import Struct
from typing import Final, ParamSpec, TypeVar

from models.errors import InvalidGGUF
from models.gguf.names import block_shape
from models.gguf.values import GGUF, MAX_UINT64, STRUCT_CODES, ArrayInfo, ByteOrder, TensorInfo, Value, ValueType
from registry.gojson import quote

MAGICS: Final = {b"GGUF": ByteOrder.LITTLE, b"FUGG": ByteOrder.BIG}
MAX_STRING_BYTES: Final = 16 * 1024 * 1024
MAX_ARRAY_COUNT: Final = 64 * 1024 * 1024
MAX_SHORT_ARRAY_COUNT: Final = 1024
"""Arrays with one number per layer or per dimension are facts like any other; vocabularies are longer."""

MAX_DIMENSIONS: Final = 4
MAX_HEADER_BYTES: Final = 512 * 1024 * 1024
"""Everything before the tensor data. Real files stay below 32 MiB; without a limit, a file could keep us busy."""

DEFAULT_ALIGNMENT: Final = 32
WINDOW_BYTES: Final = 256 * 1024

P = ParamSpec("P")
T = TypeVar("T")
_ESCAPED_BYTES: Final = {0xDC00 + byte: "\ufffd" for byte in range(0x80, 0x100)}


def is_gguf(head: bytes) -> bool:
    """Whether a file that starts with these (at least 4) bytes claims to be GGUF."""
    return head[:4] in MAGICS


def read_gguf(path: Path, *, arrays: bool = False, tensors: bool = True, until: str = "") -> GGUF:
    """Metadata and tensor list of a file.

    Elements of arrays are returned with `arrays`; without it only short arrays of numbers have them. `until`: stop
    before the first key with this prefix (then no tensors are read either).
    Raises: InvalidGGUF, with Ollama's wording (registry-store-cli 11.1); OSError if the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        source = _Source(file, os.fstat(file.fileno()).st_size)
        return _Reader(source, arrays=arrays).read(tensors=tensors, until=until)


def read_strings(path: Path, gguf: GGUF, key: str, indices: Collection[int]) -> dict[int, str]:
    """Some elements of a skipped array of strings, by index; those out of range are left out.

    Raises: InvalidGGUF; OSError if the file cannot be read.
    """
    array = gguf.array(key)
    if array is None or array.type is not ValueType.STRING:
        return {}
    with open(path, "rb", buffering=0) as file:
        reader = _Reader(_Source(file, os.fstat(file.fileno()).st_size), arrays=True)
        return reader.pick_strings(array, sorted(i for i in set(indices) if 0 <= i < array.count))


class _Source:
    """The file's bytes in order; knows where its end is."""

    __slots__ = ("_at", "_base", "_file", "_limit", "_window", "size")

    def __init__(self, file: FileIO, size: int) -> None:
        self.size = size
        self._file = file
        self._limit = min(size, MAX_HEADER_BYTES)
        self._window = b""
        self._base = 0  # offset of the window in the file
        self._at = 0  # offset of the next byte in the window

    @property
    def position(self) -> int:
        return self._base + self._at

    def take(self, n_bytes: int) -> bytes:
        """The next bytes, all of them."""
        self._check(self.position + n_bytes)
        if self._at + n_bytes > len(self._window):
            self._load(n_bytes)
        self._at += n_bytes
        return self._window[self._at - n_bytes : self._at]

    def move_to(self, position: int) -> None:
        """Continue there, forwards or backwards."""
        self._check(position)
        if self._base <= position <= self._base + len(self._window):
            self._at = position - self._base
        else:
            self._base, self._at, self._window = position, 0, b""

    def view(self, n_bytes: int) -> tuple[bytes, int, int]:
        """A window with at least the next `n_bytes`, the index of the first of them, the window's place in the file."""
        self._check(self.position + n_bytes)
        if self._at + n_bytes > len(self._window):
            self._load(n_bytes)
        return self._window, self._at, self._base

    def _load(self, n_bytes: int) -> None:
        self._base, self._at = self.position, 0
        self._file.seek(self._base)
        self._window = _read_exactly(self._file, min(max(n_bytes, WINDOW_BYTES), self._limit - self._base))
        if len(self._window) < n_bytes:
            raise InvalidGGUF("unexpected EOF")  # the file has shrunk since we asked for its size

    def _check(self, end: int) -> None:
        if end <= self._limit:
            return
        if self._limit < self.size:
            raise InvalidGGUF(f"GGUF header exceeds maximum {MAX_HEADER_BYTES} bytes")
        raise InvalidGGUF("EOF" if self.position == self.size else "unexpected EOF")


def _read_exactly(file: FileIO, n_bytes: int) -> bytes:
    """So many bytes, or fewer at the end of the file: one raw read may return less than there is."""
    first = file.read(n_bytes) or b""
    if len(first) == n_bytes:
        return first
    parts, missing = [first], n_bytes - len(first)
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


class _Reader:
    """One pass over the head of a file."""

    def __init__(self, source: _Source, *, arrays: bool) -> None:
        self._source = source
        self._arrays = arrays
        self.order = self._read_magic()
        self._u32 = Struct(f"{self.order.value}I")
        self._u64 = Struct(f"{self.order.value}Q")
        self._numbers = {t: Struct(self.order.value + code) for t, code in STRUCT_CODES.items()}
        self.version = self._read(self._u32)
        if not 1 <= self.version <= 3:
            raise InvalidGGUF(f"unsupported version {self.version}")

    def read(self, *, tensors: bool, until: str) -> GGUF:
        n_tensors, n_pairs = self._read_count(), self._read_count()
        found = GGUF(self.version, self.order, self._source.size)
        if not self._read_metadata(found, n_pairs, until):
            return replace(found, complete=False)
        return self._with_tensors(found, n_tensors) if tensors else found

    # ---- metadata

    def _read_metadata(self, found: GGUF, n_pairs: int, until: str) -> bool:
        """Fill in the pairs; False when it stopped before one of them."""
        for _ in range(n_pairs):
            start = self._source.position
            key = self._read_string()
            if until and key.startswith(until):
                return False
            found.types[key] = value_type = self._read_type("invalid type")
            found.metadata[key] = self._read_value(value_type)
            found.spans[key] = (start, self._source.position)
        return True

    def _read_magic(self) -> ByteOrder:
        magic = self._source.take(4)
        if magic not in MAGICS:
            raise InvalidGGUF("invalid file magic")
        return MAGICS[magic]

    def _read(self, number: Struct) -> int:
        value: int = number.unpack(self._source.take(number.size))[0]
        return value

    def _read_count(self) -> int:
        return self._read(self._u32 if self.version == 1 else self._u64)

    def _read_type(self, complaint: str) -> ValueType:
        number = self._read(self._u32)
        if number > ValueType.FLOAT64:
            raise InvalidGGUF(f"{complaint}: {number}")
        return ValueType(number)

    def _read_value(self, value_type: ValueType) -> Value:
        if value_type is ValueType.STRING:
            return self._read_string()
        if value_type is ValueType.ARRAY:
            return self._read_array()
        return self._read(self._numbers[value_type])

    def _read_string(self) -> str:
        length = _check_length(self._read(self._u64))
        raw = self._source.take(length)
        if self.version > 1:
            return _decode(raw)
        # Compat: Ollama reads 64-bit lengths of strings in version 1 too; the count includes a closing NUL.
        if length == 0:
            raise InvalidGGUF("invalid GGUF v1 string length: 0")
        if raw[-1] != 0:
            raise InvalidGGUF("invalid GGUF v1 string terminator")
        return _decode(raw[:-1])

    # ---- arrays

    def _read_array(self) -> ArrayInfo:
        element = self._read_type("invalid array type")
        count = self._read_count()
        if element is ValueType.ARRAY:
            raise InvalidGGUF(f"invalid array type: {element.value}")
        if count > MAX_ARRAY_COUNT:
            raise InvalidGGUF(f"GGUF array size {count} exceeds maximum {MAX_ARRAY_COUNT}")
        if element is ValueType.STRING:
            return self._read_strings(count)
        return self._read_numbers(element, count)

    def _read_numbers(self, element: ValueType, count: int) -> ArrayInfo:
        offset, size_bytes = self._source.position, count * self._numbers[element].size
        if not self._arrays and count > MAX_SHORT_ARRAY_COUNT:
            self._source.move_to(offset + size_bytes)
            return ArrayInfo(element, count, None, offset)
        numbers = Struct(f"{self.order.value}{count}{STRUCT_CODES[element]}")
        return ArrayInfo(element, count, numbers.unpack(self._source.take(size_bytes)), offset)

    def _read_strings(self, count: int) -> ArrayInfo:
        offset = self._source.position
        if self._arrays:
            return ArrayInfo(ValueType.STRING, count, self._collect_strings(count), offset)
        self._skip_strings(count)
        return ArrayInfo(ValueType.STRING, count, None, offset)

    def pick_strings(self, array: ArrayInfo, indices: Iterable[int]) -> dict[int, str]:
        """The elements at these indices, which must be ascending and in range."""
        self._source.move_to(array.offset)
        picked: dict[int, str] = {}
        at = 0
        for index in indices:
            self._skip_strings(index - at)
            picked[index], at = self._read_string(), index + 1
        return picked

    def _collect_strings(self, count: int) -> tuple[str, ...]:
        values: list[str] = []
        while len(values) < count:
            if self.version > 1:
                window, at, base = self._source.view(self._u64.size)
                at = _take_strings(self._u64, window, at, count, values)
                self._source.move_to(base + at)
            if len(values) < count:  # this one crosses the end of the window
                values.append(self._read_string())
        return tuple(values)

    def _skip_strings(self, count: int) -> None:
        while count:
            window, at, base = self._source.view(self._u64.size)
            at, count = _walk_strings(self._u64, window, at, count)
            self._source.move_to(base + at)

    # ---- tensors

    def _with_tensors(self, head: GGUF, n_tensors: int) -> GGUF:
        tensors = self._read_tensors(n_tensors)
        alignment = head.uint32("general.alignment")
        alignment = DEFAULT_ALIGNMENT if alignment is None else alignment
        if alignment == 0:
            raise InvalidGGUF("invalid GGUF alignment: 0")
        data_offset = -(-self._source.position // alignment) * alignment
        for tensor in tensors:
            _check_extent(tensor, data_offset, head.size_bytes)
        return replace(head, tensors=tensors, alignment=alignment, data_offset=data_offset)

    def _read_tensors(self, n_tensors: int) -> tuple[TensorInfo, ...]:
        tensors: list[TensorInfo] = []
        n_elements = 0
        for _ in range(n_tensors):
            tensors.append(self._read_tensor())
            n_elements += tensors[-1].n_elements
            if n_elements > MAX_UINT64:
                raise InvalidGGUF("parameter count overflow")
        return tuple(tensors)

    def _read_tensor(self) -> TensorInfo:
        name = _part("name", self._read_string)
        n_dimensions = _part("dimensions", self._read, self._u32)
        if n_dimensions > MAX_DIMENSIONS:
            raise InvalidGGUF(f"tensor {quote(name)} dimensions {n_dimensions} exceeds maximum {MAX_DIMENSIONS}")
        shape = tuple(_part("shape", self._read, self._u64) for _ in range(n_dimensions))
        kind = _part("kind", self._read, self._u32)
        tensor = TensorInfo(name, shape, kind, _part("offset", self._read, self._u64))
        if tensor.n_elements > MAX_UINT64:
            raise InvalidGGUF(f"tensor {quote(name)} elements overflow")
        return tensor


def _walk_strings(number: Struct, window: bytes, at: int, count: int) -> tuple[int, int]:
    """Step over strings that start in the window: where the next one starts, and how many are left.

    This loop decides how long `/api/show` takes: a vocabulary and its merges are several 100,000 strings.
    """
    unpack, last = number.unpack_from, len(window) - number.size
    for n_walked in range(count):
        if at > last:
            return at, count - n_walked
        (length,) = unpack(window, at)
        if length > MAX_STRING_BYTES:
            _check_length(length)
        at += 8 + length
    return at, 0


def _take_strings(number: Struct, window: bytes, at: int, count: int, values: list[str]) -> int:
    """Append the strings that lie whole in the window, up to `count` in all; returns where the next one starts."""
    unpack, last = number.unpack_from, len(window) - number.size
    while len(values) < count and at <= last:
        (length,) = unpack(window, at)
        end = at + 8 + length
        if end > len(window):
            break
        values.append(_decode(window[at + 8 : end]))
        at = end
    return at


def _check_length(length: int) -> int:
    if length > MAX_STRING_BYTES:
        raise InvalidGGUF(f"GGUF string length {length} exceeds maximum {MAX_STRING_BYTES}")
    return length


def _part(what: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read one part of a tensor's entry; a failure says which."""
    try:
        return read(*args, **kwargs)
    except InvalidGGUF as error:
        raise InvalidGGUF(f"failed to read tensor {what}: {error}") from error


def _check_extent(tensor: TensorInfo, data_offset: int, file_size: int) -> None:
    """The tensor's data must lie inside the file: an engine would map whatever is there."""
    if tensor.n_elements * block_shape(tensor.type)[1] > MAX_UINT64:
        raise InvalidGGUF(f"tensor {quote(tensor.name)} size overflow")
    end = data_offset + tensor.offset + tensor.size_bytes
    if end > MAX_UINT64:
        raise InvalidGGUF(f"tensor {quote(tensor.name)} offset+size overflows")
    if end > file_size:
        raise InvalidGGUF(f"tensor {quote(tensor.name)} offset+size ({end}) exceeds file size ({file_size})")


def _decode(raw: bytes) -> str:
    """UTF-8, every invalid byte as one U+FFFD, as Go's JSON encoder prints such a string."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape").translate(_ESCAPED_BYTES)
