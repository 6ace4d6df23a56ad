from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from registry import blob_writer
from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import BlobNotFound, BlobTooLarge, DigestMismatch, SizeMismatch, StoreUnusable

CONTENT = b"conformance blob one"
DIGEST = Digest.of(CONTENT)
LONG_AGO_NS = 1_000_000_000 * 1_000_000_000

pytestmark = pytest.mark.anyio


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def file_names(blobs: BlobStore) -> list[str]:
    return sorted(os.listdir(blobs.directory)) if blobs.directory.exists() else []


def make_old(path: Path) -> None:
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def is_old(path: Path) -> bool:
    return path.stat().st_mtime_ns == LONG_AGO_NS


async def test_a_blob_is_stored_under_its_digest(blobs: BlobStore) -> None:
    async with blobs.ingest(DIGEST, len(CONTENT)) as ingest:
        await ingest.write(CONTENT[:5])
        await ingest.write(CONTENT[5:])
        assert await ingest.commit() == (DIGEST, True)
    path = blobs.path(DIGEST)
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert file_names(blobs) == [DIGEST.file_name]


async def test_without_promises_any_content_is_stored_under_its_own_digest(blobs: BlobStore) -> None:
    async with blobs.ingest() as ingest:
        await ingest.write(CONTENT)
        assert await ingest.commit() == (DIGEST, True)


async def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    async with blobs.ingest() as ingest:
        digest, created = await ingest.commit()
    assert (digest, created) == (Digest.of(b""), True)
    assert blobs.size(digest) == 0


async def test_memory_stays_bounded_because_writing_waits_for_the_disk(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write_all = blob_writer.write_all

    def record(descriptor: int, content: bytes) -> None:
        sizes.append(len(content))
        write_all(descriptor, content)

    monkeypatch.setattr(blob_writer, "write_all", record)
    async with blobs.ingest() as ingest:
        for _ in range(5):
            await ingest.write(b"x" * (300 << 10))
            assert ingest._n_buffered < 1 << 20
        assert len(sizes) == 4
        digest, _ = await ingest.commit()
    assert blobs.size(digest) == 5 * (300 << 10)


@pytest.mark.parametrize(
    ("digest", "size_bytes", "error"),
    [
        (Digest.of(b"other"), None, DigestMismatch),
        (Digest.of(b"other"), len(CONTENT), DigestMismatch),
        (DIGEST, len(CONTENT) + 1, SizeMismatch),
        (DIGEST, len(CONTENT) - 1, SizeMismatch),
        (None, 0, SizeMismatch),
    ],
)
async def test_content_other_than_promised_leaves_nothing(
    blobs: BlobStore, digest: Digest | None, size_bytes: int | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with blobs.ingest(digest, size_bytes) as ingest:
            await ingest.write(CONTENT)
            await ingest.commit()
    assert file_names(blobs) == []


def test_a_digest_mismatch_names_both_in_the_original_words(blobs: BlobStore) -> None:
    with pytest.raises(DigestMismatch) as caught, blobs.writer(Digest.of(b"other")) as writer:
        writer.write(CONTENT)
        writer.commit()
    assert str(caught.value) == f'digest mismatch, expected "{Digest.of(b"other")}", got "{DIGEST}"'
    assert (caught.value.expected, caught.value.actual) == (Digest.of(b"other"), DIGEST)


def test_too_much_content_stops_at_the_first_byte_too_many(blobs: BlobStore) -> None:
    with blobs.writer(size_bytes=3) as writer:
        writer.write(b"123")
        with pytest.raises(SizeMismatch):
            writer.write(b"4")


def test_a_digest_in_upper_case_names_the_file_as_the_manifest_does(blobs: BlobStore) -> None:
    digest = Digest.parse(str(DIGEST).replace(DIGEST.hex, DIGEST.hex.upper()))
    with blobs.writer(digest) as writer:
        writer.write(CONTENT)
        assert writer.commit() == (digest, True)
    assert blobs.has(digest)


async def test_an_abandoned_upload_leaves_nothing(blobs: BlobStore) -> None:
    async with blobs.ingest() as ingest:
        await ingest.write(b"x" * (2 << 20))
        assert len(file_names(blobs)) == 1
    assert file_names(blobs) == []


async def test_an_upload_that_fails_leaves_nothing(blobs: BlobStore) -> None:
    with pytest.raises(ConnectionError):
        async with blobs.ingest() as ingest:
            await ingest.write(b"x" * (2 << 20))
            raise ConnectionError
    assert file_names(blobs) == []


async def test_an_upload_cancelled_while_a_thread_writes_for_it_leaves_nothing(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, may_write = threading.Event(), threading.Event()
    write_all = blob_writer.write_all

    def slowly(descriptor: int, content: bytes) -> None:
        writes.set()
        assert may_write.wait(10)
        write_all(descriptor, content)  # fails if the file was closed meanwhile

    monkeypatch.setattr(blob_writer, "write_all", slowly)

    async def upload() -> None:
        async with blobs.ingest() as ingest:
            await ingest.write(b"x" * (2 << 20))

    task = asyncio.create_task(upload())
    await asyncio.to_thread(writes.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # again, while it cleans up
    await asyncio.sleep(0)
    may_write.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().shutdown_default_executor()
    assert file_names(blobs) == []


def test_a_full_disk_is_reported_and_leaves_nothing(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(blob_writer, "write_all", fail)
    with pytest.raises(StoreUnusable, match="no space left on device") as caught, blobs.writer() as writer:
        writer.write(CONTENT)
    assert caught.value.errno == errno.ENOSPC
    assert file_names(blobs) == []


def test_content_is_on_disk_before_it_has_its_name(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        steps.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    blobs.put_bytes(b"makes the directories")
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    blobs.put_bytes(CONTENT)
    assert steps == ["sync file", "rename", "sync directory"]


@pytest.mark.parametrize("content", [CONTENT, b"y" * (3 << 20)], ids=["small", "large"])
def test_storing_what_is_there_renews_it(blobs: BlobStore, content: bytes) -> None:
    digest, created = blobs.put_bytes(content)
    assert created
    path = blobs.path(digest)
    for again in (lambda: blobs.put_bytes(content), lambda: write(blobs, content)):
        make_old(path)
        assert again() == (digest, False)
        assert not is_old(path)
        assert file_names(blobs) == [digest.file_name]


def write(blobs: BlobStore, content: bytes) -> tuple[Digest, bool]:
    with blobs.writer() as writer:
        writer.write(content)
        return writer.commit()


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], bytes(len(CONTENT))], ids=["empty", "short", "zeros"])
def test_a_copy_that_a_crash_damaged_is_replaced(blobs: BlobStore, damaged: bytes) -> None:
    for store in (BlobStore.put_bytes, write):
        blobs.directory.mkdir(exist_ok=True)
        blobs.path(DIGEST).write_bytes(damaged)
        assert store(blobs, CONTENT) == (DIGEST, True)
        assert blobs.read_bytes(DIGEST) == CONTENT


def test_touch_renews_a_blob_and_fails_without_one(blobs: BlobStore) -> None:
    with pytest.raises(BlobNotFound):
        blobs.touch(DIGEST)
    blobs.put_bytes(CONTENT)
    make_old(blobs.path(DIGEST))
    blobs.touch(DIGEST)
    assert not is_old(blobs.path(DIGEST))


def test_a_finished_file_is_adopted(blobs: BlobStore, tmp_path: Path) -> None:
    made = tmp_path / "quantized.gguf"
    made.write_bytes(CONTENT)
    made.chmod(0o600)
    with pytest.raises(DigestMismatch):
        blobs.adopt(made, Digest.of(b"other"))
    assert blobs.adopt(made) == (DIGEST, True)
    assert not made.exists()
    assert stat.S_IMODE(blobs.path(DIGEST).stat().st_mode) == 0o644
    made.write_bytes(CONTENT)
    assert blobs.adopt(made, DIGEST) == (DIGEST, False)
    assert not made.exists()


def test_reading_is_bounded_and_says_what_is_missing(blobs: BlobStore) -> None:
    with pytest.raises(BlobNotFound, match=f'^blob "{DIGEST}" not found$'):
        blobs.read_bytes(DIGEST)
    with pytest.raises(BlobNotFound):
        blobs.size(DIGEST)
    assert not blobs.has(DIGEST)
    blobs.put_bytes(CONTENT)
    assert blobs.read_bytes(DIGEST, len(CONTENT)) == CONTENT
    assert blobs.size(DIGEST) == len(CONTENT)
    with pytest.raises(BlobTooLarge) as caught:
        blobs.read_bytes(DIGEST, len(CONTENT) - 1)
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (len(CONTENT), len(CONTENT) - 1)


def test_removing_is_idempotent(blobs: BlobStore) -> None:
    blobs.put_bytes(CONTENT)
    assert blobs.remove(DIGEST)
    assert not blobs.remove(DIGEST)


def test_only_complete_blobs_are_listed(blobs: BlobStore) -> None:
    assert list(blobs.digests()) == []
    blobs.put_bytes(CONTENT)
    for name in ("sha256-123", f"{DIGEST.file_name}-partial", f"{DIGEST}", "readme.txt"):
        (blobs.directory / name).write_bytes(b"")
    (blobs.directory / Digest.of(b"directory").file_name).mkdir()
    assert list(blobs.digests()) == [DIGEST]


def test_blobs_may_be_links_into_another_disk(blobs: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    blobs.directory.mkdir()
    blobs.path(DIGEST).symlink_to(tmp_path / "elsewhere")
    assert blobs.read_bytes(DIGEST) == CONTENT
    assert list(blobs.digests()) == [DIGEST]
    (tmp_path / "elsewhere").unlink()
    assert not blobs.has(DIGEST)
    assert blobs.put_bytes(CONTENT) == (DIGEST, True)
