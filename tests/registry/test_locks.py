from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.errors import StoreBusy
from registry.locks import Leases, StoreLock


@contextmanager
def held_elsewhere(root: Path, *, exclusive: bool) -> Iterator[None]:
    """Another thread, as good as another process to the lock, holds it for the body."""
    holds, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with StoreLock(root).hold(exclusive=exclusive):
            holds.set()
            may_go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(10)
    try:
        yield
    finally:
        may_go.set()
        thread.join()


@pytest.mark.parametrize(
    ("held", "wanted", "is_busy"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, True)],
)
def test_only_shared_locks_go_together(tmp_path: Path, held: bool, wanted: bool, is_busy: bool) -> None:
    lock = StoreLock(tmp_path, max_wait_s=0)
    with held_elsewhere(tmp_path, exclusive=held):
        if is_busy:
            with pytest.raises(StoreBusy, match="still held by another process"), lock.hold(exclusive=wanted):
                pass
        else:
            with lock.hold(exclusive=wanted):
                pass
    with lock.hold(exclusive=wanted):
        pass


@pytest.mark.parametrize("inner", [False, True])
def test_a_thread_may_take_again_what_it_holds(tmp_path: Path, inner: bool) -> None:
    lock = StoreLock(tmp_path, max_wait_s=0)
    with lock.hold(exclusive=True):
        with lock.hold(exclusive=inner):
            pass
        with pytest.raises(StoreBusy), StoreLock(tmp_path, max_wait_s=0).hold(exclusive=False):
            pass


def test_a_shared_lock_cannot_become_exclusive(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path)
    with lock.hold(exclusive=False), pytest.raises(AssertionError), lock.hold(exclusive=True):
        pass


def test_another_thread_has_to_wait_for_the_same_lock_object(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path, max_wait_s=0)
    refused: list[StoreBusy] = []

    def take() -> None:
        try:
            with lock.hold(exclusive=True):
                pass
        except StoreBusy as error:
            refused.append(error)

    with lock.hold(exclusive=True):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_lock_is_released_when_the_body_fails(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path, max_wait_s=0)
    with pytest.raises(KeyError), lock.hold(exclusive=True):
        raise KeyError
    with StoreLock(tmp_path, max_wait_s=0).hold(exclusive=True):
        pass


def test_the_oldest_living_lease_counts(tmp_path: Path) -> None:
    leases = Leases(StoreLock(tmp_path))
    assert leases.oldest_start_ns() is None
    with leases.begin() as first:
        start = first.path.stat().st_mtime_ns
        with leases.begin() as second:
            assert leases.oldest_start_ns() == start
            assert leases.oldest_start_ns(besides=second) == start
            assert leases.oldest_start_ns(besides=first) == second.path.stat().st_mtime_ns
        assert leases.oldest_start_ns(besides=first) is None
    assert leases.oldest_start_ns() is None
    assert list(first.path.parent.iterdir()) == []


def test_the_file_of_a_dead_lease_is_removed(tmp_path: Path) -> None:
    leases = Leases(StoreLock(tmp_path))
    with leases.begin() as lease:
        left_behind = lease.path.with_name("1")
        left_behind.touch()
        assert leases.oldest_start_ns(besides=lease) is None
        assert not left_behind.exists()


def test_ending_a_lease_twice_is_nothing(tmp_path: Path) -> None:
    lease = Leases(StoreLock(tmp_path)).begin()
    lease.end()
    lease.end()
