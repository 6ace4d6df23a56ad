from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.create.creation import create_model
from models.create.request import CreateRequest, Progress
from models.errors import CreateFailed
from models.gguf.reader import read_gguf
from models.gguf.values import TensorInfo, ValueType
from models.library import Library
from registry.manifest import MediaType
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import LLAMA, f16, gguf_bytes

TENSORS = [f16("token_embd.weight", 64, 4), f16("blk.0.a", 5), f16("blk.1.a", 64, 2), f16("output.weight", 3)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def create(store: Store, files: dict[str, bytes]) -> list[Progress]:
    digests = {name: str(store.blobs.put_bytes(content)[0]) for name, content in files.items()}

    def no_pull(name: ModelName) -> list[Progress]:
        raise AssertionError(f"{name} is not needed")

    request = CreateRequest("m", files=digests)
    return list(create_model(request, library=Library(store), store=store, pull=no_pull))


def created_file(store: Store, kind: MediaType = MediaType.MODEL) -> Path:
    (layer,) = store.manifests.load(ModelName.parse("m")).manifest.of_kind(kind)
    return store.blobs.path(layer.digest)


def shard(index: Any, count: Any = 3, tensors: tuple[TensorInfo, ...] = (), **metadata: Any) -> bytes:
    split = {"split.no": index, "split.count": count, "split.tensors.count": (ValueType.INT32, 4)}
    return gguf_bytes(metadata | {k: v for k, v in split.items() if v is not None}, tensors)


def u16(n: int) -> tuple[ValueType, int]:
    return ValueType.UINT16, n


SHARDS = {
    "d/m-00001-of-00003.gguf": shard(u16(0), u16(3), (TENSORS[0],), **LLAMA),
    "d/m-00002-of-00003.gguf": shard(u16(1), u16(3), (TENSORS[1], TENSORS[2])),
    "d/m-00003-of-00003.gguf": shard((ValueType.UINT64, 2), (ValueType.INT64, 3), (TENSORS[3],)),
}


def test_shards_become_the_file_that_was_split(store: Store) -> None:
    said = [progress.status for progress in create(store, SHARDS)]
    assert said[:4] == ["parsing GGUF"] * 3 + ["verifying conversion"] and said[-1] == "success"
    whole = gguf_bytes(LLAMA, TENSORS)
    merged = read_gguf(created_file(store), arrays=True)
    expected = store.blobs.put_bytes(whole)[0]
    assert merged.metadata.keys() == LLAMA.keys()
    assert [(t.name, t.shape, t.offset) for t in merged.tensors or ()] == [
        (t.name, t.shape, t.offset) for t in read_gguf(store.blobs.path(expected)).tensors or ()
    ]
    content = created_file(store).read_bytes()
    data = [content[merged.data_offset + t.offset :][: t.size_bytes] for t in merged.tensors or ()]
    assert data == [b"\1" * 512, b"\1" * 10, b"\2" * 256, b"\1" * 6]


def test_a_long_copy_reports(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.create.merge.REPORT_BYTES", 100)
    monkeypatch.setattr("models.create.merge.CHUNK_BYTES", 100)
    reports = [progress for progress in create(store, SHARDS) if progress.total]
    assert {(report.status, report.digest) for report in reports} == {("merging GGUF shards", "0" * 19)}
    assert [r.completed for r in reports] == sorted(r.completed for r in reports)
    assert all(0 < report.completed <= report.total for report in reports)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"m.gguf": shard(0)}, 'split GGUF "m.gguf" must use llama.cpp split filename pattern'),
        ({"m-1-of-3.gguf": shard(0)}, 'split GGUF "m-1-of-3.gguf" must use llama.cpp split filename pattern'),
        (
            {"m-00001-of-00002.gguf": shard(0)},
            'split GGUF "m-00001-of-00002.gguf" filename count 2 does not match metadata count 3',
        ),
        ({"m-00001-of-00003.gguf": shard(None)}, 'split GGUF "m-00001-of-00003.gguf" is missing split.no metadata'),
        (
            {"m-00001-of-00003.gguf": shard(1)},
            'split GGUF "m-00001-of-00003.gguf" filename index 0 does not match metadata index 1',
        ),
        ({"m-00001-of-00003.gguf": shard(0)}, 'split GGUF "m" has 1 shards, expected 3'),
        (
            {f"m-{n:05}-of-00003.gguf": shard(n - 1) for n in (1, 2, 4)},
            'split GGUF "m-00004-of-00003.gguf" has invalid shard index 3',
        ),
        (
            {"a-00001-of-00003.gguf": shard(0), "b-00002-of-00003.gguf": shard(1), "a-00003-of-00003.gguf": shard(2)},
            'split GGUF "a" has 2 shards, expected 3',
        ),
    ],
)
def test_shards_that_do_not_fit_are_refused(store: Store, files: dict[str, bytes], text: str) -> None:
    with pytest.raises(CreateFailed) as refused:
        create(store, files)
    assert str(refused.value) == text
    assert store.manifests.list() == []


def test_a_count_of_one_is_a_whole_file(store: Store) -> None:
    content = shard(0, 1, (TENSORS[0],), **LLAMA)
    create(store, {"m.gguf": content})
    assert created_file(store).read_bytes() == content


def test_tensors_of_a_type_without_a_size_cannot_be_copied(store: Store) -> None:
    odd = TensorInfo("odd", (4,), 77, 0)
    files = {f"m-{n:05}-of-00002.gguf": shard(n - 1, 2, (odd,)) for n in (1, 2)}
    with pytest.raises(CreateFailed, match='tensor "odd" has the unknown type 77'):
        create(store, files)


# ---- projectors without a type

OLD_EYE = {"general.architecture": "clip", "clip.has_vision_encoder": True, "clip.vision.block_count": 1}


def test_an_old_projector_gets_the_type_that_it_has(store: Store) -> None:
    eye = gguf_bytes(OLD_EYE, [f16("v.patch", 5), f16("mm.0", 3)])
    said = create(store, {"m.gguf": gguf_bytes(LLAMA, TENSORS), "eye.gguf": eye})
    assert [progress.status for progress in said][:3] == [
        "parsing GGUF",
        "updating GGUF projector metadata",
        "parsing GGUF",
    ]
    gguf = read_gguf(created_file(store, MediaType.PROJECTOR))
    assert gguf.metadata == {**OLD_EYE, "clip.projector_type": "mlp"}
    content = created_file(store, MediaType.PROJECTOR).read_bytes()
    data = [content[gguf.data_offset + t.offset :][: t.size_bytes] for t in gguf.tensors or ()]
    assert data == [b"\1" * 10, b"\2" * 6]


@pytest.mark.parametrize("key", ["clip.projector_type", "clip.vision.projector_type"])
def test_a_projector_with_a_type_is_kept(store: Store, key: str) -> None:
    eye = gguf_bytes({**OLD_EYE, key: "ldp"}, [f16("v.patch", 5)])
    create(store, {"m.gguf": gguf_bytes(LLAMA, TENSORS), "eye.gguf": eye})
    assert created_file(store, MediaType.PROJECTOR).read_bytes() == eye
