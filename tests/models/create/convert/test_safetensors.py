from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.safetensors import MAX_HEAD_BYTES, read_head
from models.errors import CreateFailed

F32_PAIR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(head: bytes, data: bytes = bytes(8), length: int | None = None) -> bytes:
    return struct.pack("<Q", len(head) if length is None else length) + head + data


def entry(**changes: Any) -> bytes:
    return json.dumps({"a": F32_PAIR | changes}).encode()


def test_a_head_gives_each_tensor_its_place_by_name(tmp_path: Path) -> None:
    head = {"__metadata__": {"format": "pt"}, "b": {**F32_PAIR, "data_offsets": [8, 16]}, "a": F32_PAIR}
    path = tmp_path / "m.safetensors"
    path.write_bytes(file_of(json.dumps(head).encode(), bytes(16)))
    found = read_head(path, "m.safetensors")
    start = path.stat().st_size - 16
    assert [(name, t.shape, t.offset) for name, t in found.items()] == [("a", (2,), start), ("b", (2,), start + 8)]


INVALID: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "a head of 0 bytes"),
    "length beyond the file": (file_of(b"{}", length=99), "a head of 99 bytes"),
    "length beyond all": (file_of(b"{}", length=2**64 - 1), f"a head of {2**64 - 1} bytes"),
    "length beyond the limit": (file_of(b"{}", length=MAX_HEAD_BYTES + 1), f"a head of {MAX_HEAD_BYTES + 1} bytes"),
    "no JSON": (file_of(b"{"), "a head that is not JSON"),
    "not UTF-8": (file_of(b'{"\xff":1}'), "a head that is not JSON"),
    "nested": (file_of(b"[" * 200_000), "a head that is not JSON"),
    "a list": (file_of(b"[]"), "a head that is not a JSON object"),
    "a constant": (file_of(b'{"a": NaN}'), "a head that is not JSON"),
    "a name twice": (file_of(b'{"a":{},"a":{}}'), "a name stands there twice"),
    "no entry": (file_of(b'{"a":1}'), 'tensor "a" is not described'),
    "no name": (file_of(b'{"":{}}'), "a tensor without a proper name"),
    "long name": (file_of(json.dumps({"a" * 1025: {}}).encode()), "a tensor without a proper name"),
    "control in name": (file_of(b'{"\\u0000":{}}'), "a tensor without a proper name"),
    "no shape": (file_of(entry(shape=None)), 'tensor "a" has no proper shape or offsets'),
    "negative shape": (file_of(entry(shape=[-2])), 'tensor "a" has no proper shape or offsets'),
    "shape of flags": (file_of(entry(shape=[True, 2])), 'tensor "a" has no proper shape or offsets'),
    "many dimensions": (file_of(entry(shape=[1] * 9)), 'tensor "a" has no proper shape or offsets'),
    "one offset": (file_of(entry(data_offsets=[0])), 'tensor "a" has no proper shape or offsets'),
    "wrong size": (file_of(entry(shape=[3])), 'tensor "a" lies outside of the file, or is not of its size'),
    "beyond the file": (
        file_of(entry(data_offsets=[8, 16])),
        'tensor "a" lies outside of the file, or is not of its size',
    ),
    "backwards": (file_of(entry(data_offsets=[8, 0])), 'tensor "a" lies outside of the file, or is not of its size'),
    "overflow": (
        file_of(entry(shape=[2**62, 2**62])),
        'tensor "a" lies outside of the file, or is not of its size',
    ),
    "overlap": (file_of(json.dumps({"a": F32_PAIR, "b": F32_PAIR}).encode()), "tensors overlap"),
}


@pytest.mark.parametrize(("content", "reason"), INVALID.values(), ids=INVALID.keys())
def test_a_head_that_lies_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(CreateFailed) as refused:
        read_head(path, "m.safetensors")
    assert str(refused.value) == f'invalid safetensors file "m.safetensors": {reason}'


def test_an_unknown_type_has_ollamas_text(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(file_of(entry(dtype="F4")))
    with pytest.raises(CreateFailed, match=r"^unknown data type: F4$"):
        read_head(path, "m.safetensors")


# ---- several files


def checkpoint(tmp_path: Path, files: dict[str, bytes]) -> Checkpoint:
    for name, content in files.items():
        (tmp_path / name.replace("/", "_")).write_bytes(content)
    return Checkpoint({name: tmp_path / name.replace("/", "_") for name in files}, "m")


def one(name: str) -> bytes:
    return file_of(json.dumps({name: F32_PAIR}).encode())


def index(**weight_map: str) -> bytes:
    return json.dumps({"weight_map": weight_map}).encode()


def test_only_the_models_own_files_count(tmp_path: Path) -> None:
    files = checkpoint(
        tmp_path,
        {"model-1.safetensors": one("a"), "other.safetensors": one("b"), "2_Dense/model.safetensors": one("c")},
    )
    assert list(files.stored_tensors()) == ["a"]


REFUSED: dict[str, tuple[dict[str, bytes], str]] = {
    "no weights": ({"config.json": b"{}"}, "unknown tensor format"),
    "a name in two files": (
        {"model-1.safetensors": one("a"), "model-2.safetensors": one("a")},
        "duplicate tensor name 'a' was found for this model",
    ),
    "a file that the index lists": (
        {"model-1.safetensors": one("a"), "model.safetensors.index.json": index(a="../x.safetensors")},
        "open ../x.safetensors: no such file or directory",
    ),
    "a tensor that the index lists": (
        {"m.safetensors": one("a"), "model.safetensors.index.json": index(a="m.safetensors", b="m.safetensors")},
        'tensor "b" is in only one of the index and the files',
    ),
    "a tensor that the index lacks": (
        {"m.safetensors": one("a"), "model.safetensors.index.json": index(b="m.safetensors")},
        'tensor "a" is in only one of the index and the files',
    ),
    "no index": (
        {"m.safetensors": one("a"), "model.safetensors.index.json": b'{"weight_map": {"a": 1}}'},
        "model.safetensors.index.json has no proper weight_map",
    ),
}


@pytest.mark.parametrize(("files", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, files: dict[str, bytes], text: str) -> None:
    with pytest.raises(CreateFailed) as refused:
        checkpoint(tmp_path, files).stored_tensors()
    assert str(refused.value) == text
