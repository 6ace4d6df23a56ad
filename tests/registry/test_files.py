from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from registry import files
from registry.errors import StoreUnusable
from registry.files import make_directories, open_temporary, read_regular, translated, write_durably


def test_a_directory_that_cannot_be_made_is_reported_as_the_original_reports_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "blobs"
    with pytest.raises(StoreUnusable) as caught:
        make_directories(target)
    assert str(caught.value) == f"mkdir {tmp_path}/file: not a directory: ensure path elements are traversable"
    assert caught.value.errno == errno.ENOTDIR


def test_directories_are_made_with_their_parents_and_mode(tmp_path: Path) -> None:
    make_directories(tmp_path / "a" / "b")
    make_directories(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o755 & ~_umask()


def test_failures_are_worded_like_go() -> None:
    with pytest.raises(StoreUnusable, match=r"^open /x: no space left on device$"), translated("open", Path("/x")):
        raise OSError(errno.ENOSPC, "whatever")


def test_a_temporary_file_is_private_and_never_an_existing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sha256-7").write_text("taken")
    draws = iter([7, 7, 8])
    monkeypatch.setattr(files.secrets, "randbelow", lambda _: next(draws))
    descriptor, path = open_temporary(tmp_path, "sha256-")
    os.close(descriptor)
    assert path == tmp_path / "sha256-8"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(StoreUnusable, match="input/output error"):
        write_durably(target, b"new", tmp_path, ".tmp-")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_only_regular_files_are_read_and_only_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5)[0] == b"12345"
    assert len(read_regular(tmp_path / "file", 3)[0]) == 4
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "pipe", 5)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
