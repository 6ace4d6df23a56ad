from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import InvalidGGUF
from models.gguf import reader
from models.gguf.reader import read_gguf, read_strings
from models.gguf.values import ArrayInfo, ByteOrder, TensorInfo, ValueType
from models.gguf.writer import encode_pair, encode_start, encode_tensor
from tests.fakes.gguf_file import LLAMA, LLAMA_TENSORS, f16, gguf_bytes, llama_bytes, numbers, strings

WriteFile = Callable[[bytes], Path]


@pytest.fixture
def file(tmp_path: Path) -> WriteFile:
    def write(content: bytes) -> Path:
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()[:16]}.gguf"
        path.write_bytes(content)
        return path

    return write


def test_the_smallest_file_is_the_one_everybody_makes(file: WriteFile) -> None:
    content = gguf_bytes({"general.architecture": "test"})
    assert hashlib.sha256(content).hexdigest() == "89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"
    gguf = read_gguf(file(content))
    assert (gguf.version, gguf.architecture, gguf.tensors, gguf.parameter_count) == (3, "test", (), 0)


@pytest.mark.parametrize("order", ByteOrder)
def test_every_type_of_value_is_read_in_both_byte_orders(file: WriteFile, order: ByteOrder) -> None:
    values: dict[str, Any] = {
        "u8": (ValueType.UINT8, 200),
        "i8": (ValueType.INT8, -100),
        "u16": (ValueType.UINT16, 60_000),
        "i16": (ValueType.INT16, -30_000),
        "u32": (ValueType.UINT32, 4_000_000_000),
        "i32": (ValueType.INT32, -2_000_000_000),
        "u64": (ValueType.UINT64, 2**64 - 1),
        "i64": (ValueType.INT64, -(2**63)),
        "f32": (ValueType.FLOAT32, 0.5),
        "f64": (ValueType.FLOAT64, 0.1),
        "bool": (ValueType.BOOL, True),
        "text": (ValueType.STRING, "Grüße"),
        "numbers": numbers(ValueType.FLOAT32, 0.5, -2.0),
        "strings": strings("", "a", "é" * 300),
        "none": strings(),
    }
    gguf = read_gguf(file(gguf_bytes(values, [f16("t", 3, 5)], order=order)), arrays=True)
    assert gguf.byte_order is order
    assert gguf.types == {key: value_type for key, (value_type, _) in values.items()}
    read = {k: (v.type, v.count, v.values) if isinstance(v, ArrayInfo) else v for k, v in gguf.metadata.items()}
    wanted = {k: (v.type, v.count, v.values) if isinstance(v, ArrayInfo) else v for k, (_, v) in values.items()}
    assert read == wanted
    assert gguf.tensors == (TensorInfo("t", (3, 5), 1, 0),)


def test_without_arrays_only_short_ones_of_numbers_have_elements(file: WriteFile) -> None:
    values = {"short": [1, 2], "long": list(range(2000)), "strings": ["a"], "last": 7}
    gguf = read_gguf(file(gguf_bytes(values)))
    arrays = {key: value for key, value in gguf.metadata.items() if isinstance(value, ArrayInfo)}
    assert {key: array.values for key, array in arrays.items()} == {"short": (1, 2), "long": None, "strings": None}
    assert {key: array.count for key, array in arrays.items()} == {"short": 2, "long": 2000, "strings": 1}
    assert gguf.metadata["last"] == 7


def test_strings_are_read_across_the_ends_of_windows(file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{n}:" + "x" * (n % 67) for n in range(500)]
    path = file(gguf_bytes({"strings": texts, "after": "z" * 1000, "last": 7}))
    for window in (1, 8, 31, 64, 1000):
        monkeypatch.setattr(reader, "WINDOW_BYTES", window)
        full, skipped = read_gguf(path, arrays=True), read_gguf(path)
        assert full.metadata["strings"].values == tuple(texts)  # type: ignore[union-attr]
        assert full.metadata["last"] == skipped.metadata["last"] == 7
        assert read_strings(path, skipped, "tokenizer.none", {0}) == {}


def test_single_strings_of_a_skipped_array_can_be_read_later(file: WriteFile) -> None:
    path = file(gguf_bytes({"tokenizer.ggml.tokens": [f"t{n}" for n in range(100)]}))
    picked = read_strings(path, read_gguf(path), "tokenizer.ggml.tokens", {99, 0, 42, -1, 100})
    assert picked == {0: "t0", 42: "t42", 99: "t99"}


def test_every_invalid_byte_is_one_replacement_character(file: WriteFile) -> None:
    raw = b"a\xe2\x82b\xed\xa0\x80"
    content = gguf_bytes({"text": "a" + "?" * 2 + "b" + "?" * 3}).replace(b"a??b???", raw)
    assert read_gguf(file(content)).metadata["text"] == "a\ufffd\ufffdb\ufffd\ufffd\ufffd"


def test_reading_stops_before_a_key_and_leaves_out_the_tensors(file: WriteFile) -> None:
    gguf = read_gguf(file(llama_bytes()), until="tokenizer.")
    assert list(gguf.metadata)[-1] == "llama.feed_forward_length"
    assert (gguf.tensors, gguf.complete) == (None, False)


def test_spans_cover_the_pairs_byte_for_byte(file: WriteFile) -> None:
    path = file(gguf_bytes({"a": 1, "b": ["x", "y"]}))
    content, gguf = path.read_bytes(), read_gguf(path)
    start, end = gguf.spans["b"]
    assert content[start:end] == encode_pair("b", *strings("x", "y"))


# ---- version 1


def old_text(text: bytes, end: bytes = b"\0") -> bytes:
    return struct.pack("<Q", len(text) + len(end)) + text + end


def old_file(*pairs: bytes) -> bytes:
    return b"GGUF" + struct.pack("<III", 1, 0, len(pairs)) + b"".join(pairs)


def test_version_1_has_short_counts_and_closed_strings(file: WriteFile) -> None:
    text = old_text(b"general.architecture") + struct.pack("<I", 8) + old_text(b"llama")
    array = old_text(b"words") + struct.pack("<III", 9, 8, 2) + old_text(b"a") + old_text(b"bc")
    path = file(old_file(text, array, old_text(b"n") + struct.pack("<II", 4, 7)))
    assert read_gguf(path, arrays=True).metadata["words"].values == ("a", "bc")  # type: ignore[union-attr]
    gguf = read_gguf(path)
    assert (gguf.version, gguf.architecture, gguf.metadata["n"]) == (1, "llama", 7)


# ---- files that are wrong

HEAD = encode_start(0, 1)
KEY = struct.pack("<Q", 1) + b"k"
TENSOR = encode_start(1, 0)


def tensor_file(tensor: TensorInfo, data: bytes = b"", pairs: bytes = b"", n_pairs: int = 0) -> bytes:
    head = encode_start(1, n_pairs) + pairs + encode_tensor(tensor)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + data


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "EOF"),
    "half a magic": (b"GG", "unexpected EOF"),
    "another magic": (b"ggml" + bytes(60), "invalid file magic"),
    "no version": (b"GGUF", "EOF"),
    "version 0": (b"GGUF" + bytes(60), "unsupported version 0"),
    "version 4": (b"GGUF" + struct.pack("<I", 4) + bytes(60), "unsupported version 4"),
    "a key too few": (HEAD, "EOF"),
    "half a key": (HEAD + KEY[:-1], "EOF"),
    "type 13": (HEAD + KEY + struct.pack("<I", 13), "invalid type: 13"),
    "array of arrays": (HEAD + KEY + struct.pack("<IIQ", 9, 9, 1), "invalid array type: 9"),
    "array of type 77": (HEAD + KEY + struct.pack("<IIQ", 9, 77, 1), "invalid array type: 77"),
    "long string": (HEAD + struct.pack("<Q", 2**24 + 1), "GGUF string length 16777217 exceeds maximum 16777216"),
    "endless string": (
        HEAD + struct.pack("<Q", 2**63),
        "GGUF string length 9223372036854775808 exceeds maximum 16777216",
    ),
    "long string in an array": (
        HEAD + KEY + struct.pack("<IIQQ", 9, 8, 2, 2**24 + 1),
        "GGUF string length 16777217 exceeds maximum 16777216",
    ),
    "big array": (
        HEAD + KEY + struct.pack("<IIQ", 9, 0, 2**26 + 1),
        "GGUF array size 67108865 exceeds maximum 67108864",
    ),
    "array beyond the end": (HEAD + KEY + struct.pack("<IIQ", 9, 4, 1000) + bytes(64), "unexpected EOF"),
    "strings beyond the end": (HEAD + KEY + struct.pack("<IIQQ", 9, 8, 1000, 50) + bytes(60), "unexpected EOF"),
    "endless keys": (encode_start(0, 2**63), "EOF"),
    "v1 empty string": (old_file(struct.pack("<Q", 0)), "invalid GGUF v1 string length: 0"),
    "v1 open string": (old_file(old_text(b"ab", end=b"")), "invalid GGUF v1 string terminator"),
    "no tensor name": (TENSOR, "failed to read tensor name: EOF"),
    "half a tensor name": (TENSOR + struct.pack("<Q", 9) + b"abc", "failed to read tensor name: unexpected EOF"),
    "no dimensions": (TENSOR + KEY, "failed to read tensor dimensions: EOF"),
    "no shape": (TENSOR + KEY + struct.pack("<I", 2), "failed to read tensor shape: EOF"),
    "no kind": (TENSOR + KEY + struct.pack("<IQ", 1, 4), "failed to read tensor kind: EOF"),
    "no offset": (TENSOR + KEY + struct.pack("<IQI", 1, 4, 0), "failed to read tensor offset: EOF"),
    "five dimensions": (TENSOR + KEY + struct.pack("<I", 5), 'tensor "k" dimensions 5 exceeds maximum 4'),
    "too many elements": (tensor_file(TensorInfo("t", (2**40, 2**40), 0, 0)), 'tensor "t" elements overflow'),
    "too many bytes": (tensor_file(TensorInfo("t", (2**62, 2), 0, 0)), 'tensor "t" size overflow'),
    "offset too far": (
        tensor_file(TensorInfo("t", (4,), 0, 2**64 - 4)),
        'tensor "t" offset+size overflows',
    ),
    "data beyond the end": (
        tensor_file(TensorInfo("t", (4,), 0, 32), bytes(40)),
        'tensor "t" offset+size (112) exceeds file size (104)',
    ),
    "alignment 0": (
        tensor_file(TensorInfo("t", (4,), 0, 0), bytes(16), encode_pair("general.alignment", ValueType.UINT32, 0), 1),
        "invalid GGUF alignment: 0",
    ),
}


@pytest.mark.parametrize(("content", "text"), WRONG.values(), ids=WRONG.keys())
def test_wrong_files_are_refused_with_ollamas_words(file: WriteFile, content: bytes, text: str) -> None:
    with pytest.raises(InvalidGGUF) as error:
        read_gguf(file(content))
    assert str(error.value) == text


def test_the_parameters_of_all_tensors_together_may_overflow(file: WriteFile) -> None:
    half = encode_tensor(TensorInfo("t", (2**63,), 99, 0))
    with pytest.raises(InvalidGGUF, match="parameter count overflow"):
        read_gguf(file(encode_start(3, 0) + half * 3 + bytes(64)))


def test_a_header_without_end_is_refused(file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_HEADER_BYTES", 100)
    with pytest.raises(InvalidGGUF, match="GGUF header exceeds maximum 100 bytes"):
        read_gguf(file(gguf_bytes({"text": "x" * 200})))


def test_a_file_that_shrinks_while_it_is_read_is_refused(file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(gguf_bytes({"strings": ["x" * 100] * 100, "last": 1}))
    monkeypatch.setattr(reader, "WINDOW_BYTES", 256)
    monkeypatch.setattr(reader.os, "fstat", lambda _: type("Stat", (), {"st_size": path.stat().st_size + 5000})())
    with path.open("r+b") as whole:
        whole.truncate(1000)
    with pytest.raises(InvalidGGUF, match="unexpected EOF"):
        read_gguf(path)


def test_a_file_cut_anywhere_in_its_head_is_refused(file: WriteFile) -> None:
    content = llama_bytes()
    end = read_gguf(file(content)).data_offset
    for size in range(end):
        with pytest.raises(InvalidGGUF):
            read_gguf(file(content[:size]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(gguf_bytes(LLAMA | {"long": list(range(50))}, LLAMA_TENSORS))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 9))
        content[at : at + 8] = data.draw(
            st.sampled_from([b"\xff" * 8, bytes(8), b"\x01" + bytes(7), b"\0\0\0\x7f" * 2])
        )
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for arrays in (False, True):
        try:
            gguf = read_gguf(path, arrays=arrays)
        except InvalidGGUF:
            continue
        assert all(gguf.data_offset + t.offset + t.size_bytes <= len(content) for t in gguf.tensors or ())


def test_a_vocabulary_of_128k_is_skipped_quickly(file: WriteFile) -> None:
    """Ollama's users wait for `list` and `show`. Measured at 40 ms; the bound leaves room for a busy machine."""
    path = file(
        gguf_bytes({"tokens": ["x" * (n % 16) for n in range(128_000)], "merges": ["a b"] * 280_000, "last": 1})
    )
    best = min(timed(lambda: read_gguf(path)) for _ in range(3))
    assert best < 0.5


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
