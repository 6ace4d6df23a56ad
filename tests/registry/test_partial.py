from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import StoreUnusable
from registry.partial import MAX_PARTS, PART_BYTES, Part, PartialBlob, is_complete_plan, plan_parts

DIGEST = Digest.of(b"content")


@pytest.fixture
def partial(tmp_path: Path) -> PartialBlob:
    return PartialBlob(tmp_path / "blobs", DIGEST)


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (0, []),
        (1, [(0, 1)]),
        (PART_BYTES, [(0, PART_BYTES)]),
        (PART_BYTES + 1, [(0, PART_BYTES), (PART_BYTES, 1)]),
        (3 * PART_BYTES, [(0, PART_BYTES), (PART_BYTES, PART_BYTES), (2 * PART_BYTES, PART_BYTES)]),
    ],
)
def test_plans(total: int, expected: list[tuple[int, int]]) -> None:
    parts = plan_parts(total)
    assert [(part.offset, part.size_bytes) for part in parts] == expected
    assert is_complete_plan(parts, total)


@pytest.mark.parametrize("total", [10**15, 2**63 - 1])
def test_no_size_makes_more_parts_than_can_be_kept(total: int) -> None:
    parts = plan_parts(total)
    assert len(parts) <= MAX_PARTS
    assert is_complete_plan(parts, total)


def test_one_at_a_time_has_a_download(partial: PartialBlob, tmp_path: Path) -> None:
    other = PartialBlob(tmp_path / "blobs", DIGEST)
    assert partial.acquire()
    assert not other.acquire()
    partial.release()
    assert other.acquire()
    other.release()


def test_whoever_waited_for_a_file_that_is_gone_has_not_got_it(
    partial: PartialBlob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the data file and locking it, the one before may have given it the blob's name."""
    assert partial.acquire()
    other = PartialBlob(tmp_path / "blobs", DIGEST)
    original = os.open

    def open_late(path: os.PathLike[str], *arguments: int) -> int:
        descriptor = original(path, *arguments)
        os.rename(partial.path, partial.path.with_name(DIGEST.file_name))
        partial.release()
        return descriptor

    monkeypatch.setattr(os, "open", open_late)
    assert not other.acquire()


def test_a_download_that_brought_nothing_leaves_nothing(partial: PartialBlob) -> None:
    assert partial.acquire()
    partial.release()
    partial.release()
    assert list(partial.path.parent.iterdir()) == []


def test_what_was_written_is_there_for_the_next(partial: PartialBlob, tmp_path: Path) -> None:
    assert partial.acquire()
    parts = plan_parts(10, 4)
    partial.begin(parts, planned_now=True)
    partial.write(parts[1], [b"45", b"6"])
    partial.release()
    again = PartialBlob(tmp_path / "blobs", DIGEST)
    assert again.acquire()
    assert again.load(10) == [Part(0, 0, 4), Part(1, 4, 4, 3), Part(2, 8, 2)]
    assert again.load(11) == []
    hash_ = hashlib.sha256()
    again.hash_range(hash_, 4, 7)
    assert hash_.digest() == hashlib.sha256(b"456").digest()
    again.discard()
    again.release()
    assert list(again.path.parent.iterdir()) == []


def test_a_record_may_become_shorter(partial: PartialBlob) -> None:
    assert partial.acquire()
    partial.save(Part(0, 0, 1000, 999))
    partial.save(Part(0, 0, 1000, 0))
    record = partial.path.with_name(f"{partial.path.name}-0")
    assert record.read_bytes() == b'{"N":0,"Offset":0,"Size":1000,"Completed":0}\n'
    partial.release()


def test_data_that_vanish_are_an_error_and_no_loop(partial: PartialBlob) -> None:
    assert partial.acquire()
    partial.begin(plan_parts(10), planned_now=True)
    os.truncate(partial.path, 5)
    with pytest.raises(StoreUnusable, match="became shorter"):
        partial.hash_range(hashlib.sha256(), 0, 10)
    partial.release()
