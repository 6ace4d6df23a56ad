"""Several processes on one store: what one of them has, no other takes away."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import ManifestNotFound
from registry.locks import StoreLock
from registry.manifest import Layer, Manifest, MediaType
from registry.manifests import Scan
from registry.names import ModelName
from registry.store import Store

N_PROCESSES = 3
N_ROUNDS = 20
SHARED = b"weights that every model has"

spawn = multiprocessing.get_context("spawn")
Work = Callable[[Path, int], None]


def run_everywhere(work: Work, root: Path) -> None:
    """Run `work` in several processes at once; fails with their traceback if one of them does."""
    with ends_of_processes(work, root) as ends:
        assert [end.recv() for end in ends if end.poll(60)] == ["ready"] * N_PROCESSES
        for end in ends:
            end.send("go")
        reports = [end.recv() if end.poll(60) else "no report within a minute" for end in ends]
    assert reports == ["done"] * N_PROCESSES, "\n".join(reports)


@contextmanager
def ends_of_processes(work: Work, root: Path) -> Iterator[list[Connection]]:
    pipes = [spawn.Pipe() for _ in range(N_PROCESSES)]
    processes: list[BaseProcess] = [
        spawn.Process(target=report, args=(work, root, number, theirs)) for number, (_, theirs) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        yield [ours for ours, _ in pipes]
    finally:
        for process in processes:
            process.join(10)
            process.kill()
            process.join()
            process.close()


def report(work: Work, root: Path, number: int, end: Connection) -> None:
    end.send("ready")
    end.recv()
    try:
        work(root, number)
        end.send("done")
    except BaseException:
        end.send(traceback.format_exc())


def count_up(root: Path, number: int) -> None:
    counter = root / "counter"
    for _ in range(N_ROUNDS):
        with StoreLock(root).hold(exclusive=True):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_the_exclusive_lock_excludes_other_processes(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    run_everywhere(count_up, tmp_path)
    assert int((tmp_path / "counter").read_text()) == N_PROCESSES * N_ROUNDS


def layer(content: bytes) -> Layer:
    return Layer(MediaType.LICENSE, Digest.of(content), len(content))


def build_and_delete(root: Path, number: int) -> None:
    """Models come and go, and often the last one with the shared blob goes while another is being built from it."""
    store = Store(root)
    name = ModelName.parse(f"model-{number}")
    for count in range(N_ROUNDS):
        own = f"{number}-{count}".encode()
        with store.lease() as lease:
            store.blobs.put_bytes(SHARED)
            store.blobs.put_bytes(own)
            for _ in range(3):
                store.manifests.scan()  # time for the others to delete what has the shared blob
            store.replace_model(name, Manifest(None, (layer(SHARED), layer(own))), lease=lease)
        assert store.blobs.read_bytes(Digest.of(SHARED)) == SHARED
        store.delete_model(name)


def test_building_and_deleting_models_loses_no_blob(tmp_path: Path) -> None:
    run_everywhere(build_and_delete, tmp_path)
    store = Store(tmp_path)
    assert store.manifests.scan() == Scan((), ())
    store.remove_unused(list(store.blobs.digests()))
    assert list(store.blobs.directory.iterdir()) == []


def write_one_name(root: Path, number: int) -> None:
    """Everybody writes, copies, reads and deletes the same few names, while one prunes again and again."""
    store = Store(root)
    for count in range(N_ROUNDS):
        content = f"content {count % 5}".encode()
        with store.lease() as lease:
            store.blobs.put_bytes(content)
            store.replace_model(ModelName.parse("one"), Manifest(None, (layer(content),)), lease=lease)
        for change in (copy_one, delete_one):
            with contextlib.suppress(ManifestNotFound):  # another process was faster
                change(store)
        if number == 0:
            store.maintain()
        check_everything_is_whole(store)


def copy_one(store: Store) -> None:
    store.copy_model(ModelName.parse("one"), ModelName.parse("two"))


def delete_one(store: Store) -> None:
    store.delete_model(ModelName.parse("ONE"))


def check_everything_is_whole(store: Store) -> None:
    with store.lock(exclusive=True):
        scan = store.manifests.scan()
        assert scan.problems == ()
        for stored in scan.manifests:
            assert all(store.blobs.has(digest) for digest in stored.manifest.digests), stored.name


def test_models_of_one_name_stay_whole_whoever_writes_them(tmp_path: Path) -> None:
    run_everywhere(write_one_name, tmp_path)


def upload(root: Path, number: int) -> None:
    store = Store(root)
    for count in range(N_ROUNDS // 3):
        content = str(count).encode() * (1 << 16)
        with store.blobs.writer(Digest.of(content), len(content)) as writer:
            for start in range(0, len(content), 1 << 14):
                writer.write(content[start : start + (1 << 14)])
            digest, _ = writer.commit()
        assert store.blobs.read_bytes(digest) == content


def test_uploads_of_the_same_content_do_not_disturb_each_other(tmp_path: Path) -> None:
    run_everywhere(upload, tmp_path)
    assert sum(1 for _ in Store(tmp_path).blobs.digests()) == len(list((tmp_path / "blobs").iterdir()))


def begin_and_wait(root: Path, end: Connection) -> None:
    store = Store(root)
    with store.lease():
        store.blobs.put_bytes(SHARED)
        end.send("begun")
        end.recv()


def test_a_lease_holds_against_other_processes_and_ends_when_its_own_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.blobs.put_bytes(SHARED)
    store.write_model(ModelName.parse("base"), Manifest(None, (layer(SHARED),)))
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=begin_and_wait, args=(tmp_path, theirs))
    process.start()
    assert process.pid is not None
    try:
        assert ours.poll(30) and ours.recv() == "begun"
        assert store.delete_model(ModelName.parse("base")) == ()
        assert store.blobs.has(Digest.of(SHARED))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
    assert store.remove_unused([Digest.of(SHARED)]) == (Digest.of(SHARED),)


def crash_while_writing(root: Path, end: Connection) -> None:
    writer = Store(root).blobs.writer()
    writer.write(b"half of it")
    end.send("written")
    end.recv()


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_killed_process_was_writing_has_no_final_name_and_is_pruned_later(tmp_path: Path, is_old: bool) -> None:
    store = Store(tmp_path)
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=crash_while_writing, args=(tmp_path, theirs))
    process.start()
    assert process.pid is not None
    assert ours.poll(30) and ours.recv() == "written"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()
    assert list(store.blobs.digests()) == []
    [left] = store.blobs.directory.iterdir()
    written_ns = left.stat().st_mtime_ns
    assert store.maintain(now_ns=written_ns + (3601 if is_old else 3599) * 10**9).n_blobs_removed == is_old
