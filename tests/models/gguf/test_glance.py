from __future__ import annotations

import struct
from pathlib import Path

import pytest

from models.errors import InvalidGGUF
from models.gguf.glance import Glance, glance
from tests.fakes.gguf_file import gguf_bytes, llama_bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_the_list_sees_what_stands_before_the_vocabulary(path: Path) -> None:
    path.write_bytes(llama_bytes())
    assert glance(path) == Glance(True, False, (), "F16", 2048, 64)


def test_keys_behind_the_vocabulary_are_missed(path: Path) -> None:
    """Compat: http-api 6.2."""
    path.write_bytes(gguf_bytes({"general.architecture": "b", "tokenizer.ggml.model": "b", "b.pooling_type": 1}))
    assert glance(path).is_embedding is False
    path.write_bytes(gguf_bytes({"general.architecture": "b", "b.pooling_type": 1, "tokenizer.ggml.model": "b"}))
    assert glance(path).is_embedding is True


def test_keys_before_the_architecture_are_missed(path: Path) -> None:
    path.write_bytes(gguf_bytes({"b.context_length": 5, "general.file_type": 0, "general.architecture": "b"}))
    assert (glance(path).context_length, glance(path).file_type) == (0, "F32")


def test_media_keep_the_order_of_the_file(path: Path) -> None:
    path.write_bytes(gguf_bytes({"general.architecture": "b", "b.audio.block_count": 1, "b.vision.block_count": 1}))
    assert glance(path).media == ("audio", "vision")


def test_version_1_tells_nothing_and_other_files_are_refused(path: Path) -> None:
    path.write_bytes(b"GGUF" + struct.pack("<III", 1, 0, 0))
    assert glance(path) == Glance()
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidGGUF):
        glance(path)
