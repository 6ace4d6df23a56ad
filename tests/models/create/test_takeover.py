from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.create import takeover as module
from models.create.merge import plan_merged
from models.create.takeover import Takeover
from models.errors import CreateFailed
from models.gguf.reader import read_gguf
from models.gguf.values import TensorInfo, ValueType
from registry.digest import Digest
from registry.errors import BlobNotFound
from registry.locks import Lease
from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from registry.store import Store
from tests.fakes.gguf_file import LLAMA, f16, gguf_bytes

MIB = 1 << 20
TENSORS = [
    [f16("token_embd.weight", 512, 700), f16("blk.0.a", 5)],
    [f16("blk.1.a", 512, 900), f16("blk.1.b", 64, 2)],
    [f16("output.weight", 1024, 512)],
]


def shard(index: int, tensors: list[TensorInfo]) -> bytes:
    split = {"split.no": (ValueType.UINT16, index), "split.count": (ValueType.UINT16, len(TENSORS))}
    content = gguf_bytes((LLAMA if index == 0 else {}) | split, tensors)
    n_data = len(gguf_bytes({}, tensors)) - len(gguf_bytes({}, [])) - 1024  # fewer than there are: the head stays
    return content[:-n_data] + random.Random(index).randbytes(n_data)


SHARDS = {f"m-{n + 1:05}-of-00003.gguf": shard(n, tensors) for n, tensors in enumerate(TENSORS)}
TOTAL_BYTES = sum(map(len, SHARDS.values()))


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREE_BYTES", MIB // 4)
    monkeypatch.setattr(module, "REPORT_BYTES", MIB // 8)
    monkeypatch.setattr("models.create.merge.CHUNK_BYTES", MIB // 16)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def lease(store: Store) -> Iterator[Lease]:
    with store.lease() as lease:
        yield lease


def put(store: Store, files: dict[str, bytes] = SHARDS) -> dict[str, Digest]:
    return {name: store.blobs.put_bytes(content)[0] for name, content in files.items()}


@pytest.fixture
def expected(tmp_path: Path) -> bytes:
    """The same, put together in memory."""
    paths = []
    for name, content in SHARDS.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    merged = plan_merged([module.Source(path, read_gguf(path)) for path in paths])
    parts = [chunk for part in merged.stretches for stretch in part for chunk in module.chunks_of(stretch)]
    return merged.head + b"".join(parts)


def room(store: Store) -> int:
    """What the files of the store take on disk, each counted once."""
    with os.scandir(store.blobs.directory) as entries:
        states = {state.st_ino: state.st_blocks * 512 for entry in entries if (state := entry.stat())}
    return sum(states.values())


def acquired(store: Store, shards: dict[str, Digest], lease: Lease) -> Takeover:
    takeover = Takeover(store, shards, lease)
    assert takeover.acquire()
    return takeover


def run(takeover: Takeover, stop_after: int | None = None) -> Digest | None:
    """The blob; None for a merge that was left after so many reports."""
    steps = takeover.run()
    for n in range(10**6):
        if n == stop_after:
            return None
        try:
            next(steps)
        except StopIteration as end:
            digest = end.value
            assert isinstance(digest, Digest)
            return digest
    raise AssertionError


def files(store: Store) -> set[str]:
    return set(os.listdir(store.blobs.directory))


@pytest.mark.parametrize("has_holes", [True, False])
def test_a_merge_needs_the_room_of_the_model_and_of_one_step(
    has_holes: bool, store: Store, lease: Lease, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_holes:
        monkeypatch.setattr(module, "_fallocate", lambda: None)
    takeover = acquired(store, put(store), lease)
    takeover.begin()
    peak = before = room(store)
    steps = takeover.run()
    try:
        while True:
            next(steps)
            peak = max(peak, room(store))
    except StopIteration as end:
        digest = end.value
    step = MIB // 2 if has_holes else max(map(len, SHARDS.values())) + MIB // 4
    assert before <= TOTAL_BYTES + MIB // 8 and peak <= before + step
    assert store.blobs.read_bytes(digest) == expected
    takeover.discard()
    takeover.release()
    assert files(store) == {digest.file_name}


def test_a_merge_that_is_left_anywhere_goes_on_and_ends_the_same(store: Store, lease: Lease, expected: bytes) -> None:
    shards = put(store)
    for stop_after in range(100):
        takeover = acquired(store, shards, lease)
        if not takeover.is_begun:
            takeover.begin()
        digest = run(takeover, stop_after + 1)
        takeover.release()
        if digest is not None:
            break
        with next(store.blobs.directory.glob("*-partial")).open("ab") as file:
            file.write(b"not safe yet")
    assert stop_after > 3
    assert digest == Digest.of(expected) and store.blobs.read_bytes(digest) == expected


def test_a_merge_that_was_killed_before_its_blob_got_its_name_gives_it(
    store: Store, lease: Lease, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    takeover = acquired(store, put(store), lease)
    takeover.begin()
    with monkeypatch.context() as patch:
        patch.setattr(store.blobs, "adopt_verified", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(takeover)
    takeover.release()
    again = acquired(store, {name: Digest.of(content) for name, content in SHARDS.items()}, lease)
    assert again.is_begun
    assert run(again) == Digest.of(expected)


def test_a_finished_merge_is_remembered_until_it_is_discarded(store: Store, lease: Lease, expected: bytes) -> None:
    shards = put(store)
    takeover = acquired(store, shards, lease)
    takeover.begin()
    run(takeover)
    takeover.release()
    again = acquired(store, shards, lease)
    assert again.is_begun and run(again) == Digest.of(expected)
    again.discard()
    again.release()
    assert not acquired(store, shards, lease).is_begun


def test_what_a_finished_merge_made_is_never_made_again_of_what_it_left(store: Store, lease: Lease) -> None:
    shards = put(store)
    takeover = acquired(store, shards, lease)
    takeover.begin()
    digest = run(takeover)
    assert digest is not None
    takeover.release()
    again = acquired(store, shards, lease)
    store.blobs.path(digest).unlink()
    with pytest.raises(BlobNotFound):
        run(again)


def test_who_waited_for_a_merge_gets_what_came_of_it(store: Store, lease: Lease, expected: bytes) -> None:
    shards = put(store)
    first, second = acquired(store, shards, lease), Takeover(store, shards, lease)
    first.begin()
    run(first)
    first.release()
    assert second.acquire() and second.is_begun
    first.discard()  # is too late: the second one needs it
    assert run(second) == Digest.of(expected)
    second.discard()
    second.release()
    assert files(store) == {Digest.of(expected).file_name}


def test_one_at_a_time_merges_the_same_shards(store: Store, lease: Lease) -> None:
    shards = put(store)
    first, second = acquired(store, shards, lease), Takeover(store, shards, lease)
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    assert acquired(store, dict(list(shards.items())[:2]), lease) and acquired(store, shards, lease)


def test_a_shard_with_another_name_stays_whole(store: Store, lease: Lease, expected: bytes) -> None:
    shards = put(store)
    name, digest = list(shards.items())[1]
    os.link(store.blobs.path(digest), store.root / "elsewhere")
    takeover = acquired(store, shards, lease)
    takeover.begin()
    assert run(takeover) == Digest.of(expected)
    takeover.discard()
    assert (store.root / "elsewhere").read_bytes() == SHARDS[name]
    assert not any(map(store.blobs.has, shards.values()))


def test_a_shard_that_another_pull_builds_with_stays_whole(store: Store, lease: Lease, expected: bytes) -> None:
    shards = put(store)
    name, digest = list(shards.items())[1]
    for other in shards.values():
        os.utime(store.blobs.path(other), (1e9, 1e9))
    with store.lease():
        store.blobs.touch(digest)
        takeover = acquired(store, shards, lease)
        takeover.begin()
        assert run(takeover) == Digest.of(expected)
    takeover.discard()
    assert [n for n, other in shards.items() if store.blobs.has(other)] == [name]
    assert store.blobs.read_bytes(digest) == SHARDS[name]


def test_a_model_that_has_a_shard_keeps_it(store: Store, lease: Lease) -> None:
    shards = put(store)
    digest = next(iter(shards.values()))
    config = Layer(MediaType.CONFIG, store.blobs.put_bytes(b"{}")[0], 2)
    size = store.blobs.size(digest)
    store.write_model(ModelName.parse("other"), Manifest(config, (Layer(MediaType.MODEL, digest, size),)))
    takeover = acquired(store, shards, lease)
    takeover.begin()
    run(takeover)
    assert store.blobs.read_bytes(digest) == next(iter(SHARDS.values()))


def test_without_hard_links_nothing_is_taken(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    shards = put(store)
    takeover = acquired(store, shards, lease)
    takeover.begin()
    assert not takeover.is_begun
    takeover.release()
    assert files(store) == {digest.file_name for digest in shards.values()}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda n, content: content.replace(b"split.no", b"split.na"), "is missing split.no metadata"),
        (lambda n, content: content[:8] if n == 2 else content, None),
        (lambda n, content: gguf_bytes({}) if n == 2 else content, ""),
    ],
)
def test_shards_that_make_no_model_stay_whole(
    change: Callable[[int, bytes], bytes], complaint: str | None, store: Store, lease: Lease
) -> None:
    shards = put(store, {name: change(n, content) for n, (name, content) in enumerate(SHARDS.items())})
    takeover = acquired(store, shards, lease)
    if complaint == "":
        takeover.begin()
        assert not takeover.is_begun
    else:
        with pytest.raises(Exception, match=complaint) as caught:
            takeover.begin()
        assert complaint is None or isinstance(caught.value, CreateFailed)
    takeover.release()
    assert files(store) == {digest.file_name for digest in shards.values()}


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b'{"safe":-1,"digest":""}', b'{"safe":99999999999,"digest":""}'])
def test_a_record_that_cannot_be_is_started_over(content: bytes, store: Store, lease: Lease) -> None:
    shards = put(store)
    takeover = acquired(store, shards, lease)
    takeover.begin()
    takeover.release()
    next(store.blobs.directory.glob("*-partial-0")).write_bytes(content)
    for path in store.blobs.directory.glob("*-partial-2"):
        path.unlink()
    assert not acquired(store, shards, lease).is_begun


def _killed(*_: object) -> Iterator[None]:
    raise KeyboardInterrupt
