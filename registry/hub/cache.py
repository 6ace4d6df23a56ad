"""Files that other programs fetched from the Hub on this machine, in the cache of `huggingface_hub`.

    models--<user>--<name>/refs/<revision>             a file with the commit's name
                           snapshots/<commit>/<path>   links to
                           blobs/<sha256, or Git's name of a small file>

Source: the library's documentation of its cache.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from pathlib import Path

from registry.digest import Digest
from registry.errors import DigestMismatch, HubRefusal, InvalidDigest
from registry.files import make_directories, open_temporary, read_regular, translated
from registry.hub.reference import Reference
from registry.hub.selection import HubFile, is_clean_path
from registry.store import Store

log = logging.getLogger(__name__)

_MAX_REF_BYTES = 200
_COMMIT = re.compile(r"[0-9a-f]{40}")


def find_cached(cache: Path, repository: str, digest: Digest, size_bytes: int) -> Path | None:
    """The cached content of this digest, by its name and size alone."""
    path = _folder(cache, repository) / "blobs" / digest.hex.lower()
    try:
        state = path.lstat()
    except OSError:
        return None
    return path if stat.S_ISREG(state.st_mode) and state.st_size == size_bytes else None


def list_snapshot(cache: Path, reference: Reference) -> dict[str, tuple[HubFile, Path]]:
    """What the cache has of a revision, by path. Raises: HubRefusal where that is nothing."""
    folder = _folder(cache, reference.repository)
    revision = reference.revision or "main"
    found = _files(folder, _commit(folder, revision)) if is_clean_path(revision) else {}
    if not found:
        raise HubRefusal(f"{_title(reference)} is not in the cache {cache}, and HF_HUB_OFFLINE is set")
    return found


def adopt_file(store: Store, path: Path, digest: Digest | None) -> Digest:
    """Have the store keep the content of a cached file too, without a second copy where the file system allows that.

    Raises: DigestMismatch, with nothing left in the store; StoreUnusable.
    """
    directory = store.blobs.directory
    make_directories(directory)
    with translated("open", directory):
        descriptor, temporary = open_temporary(directory, "sha256-")
        os.close(descriptor)
    try:
        with translated("copy", path):
            _link_or_copy(path, temporary)
        return store.blobs.adopt(temporary, digest)[0]
    finally:
        temporary.unlink(missing_ok=True)


def adopt_cached(store: Store, cache: Path, repository: str, file: HubFile) -> bool:
    """Take a file from the cache, if it is there and sound. Raises: StoreUnusable."""
    assert file.digest is not None, "a file is looked for by its digest"
    path = find_cached(cache, repository, file.digest, file.size_bytes)
    if path is None:
        return False
    try:
        adopt_file(store, path, file.digest)
    except DigestMismatch as error:
        log.warning("%s is damaged, and fetched anew: %s", path, error)
        return False
    return True


def read_cached(path: Path, limit_bytes: int) -> bytes:
    """A small file. Raises: StoreUnusable; HubRefusal beyond the limit."""
    with translated("read", path):
        content, _ = read_regular(path, limit_bytes)
    if len(content) > limit_bytes:
        raise HubRefusal(f"{path.name} has more than {limit_bytes} bytes")
    return content


# --------------------------------------------------------------------------------------------------------------------


def _folder(cache: Path, repository: str) -> Path:
    return cache / f"models--{repository.replace('/', '--')}"


def _title(reference: Reference) -> str:
    return f"{reference.repository}@{reference.revision}" if reference.revision else reference.repository


def _files(folder: Path, commit: str) -> dict[str, tuple[HubFile, Path]]:
    snapshot = folder / "snapshots" / commit
    found: dict[str, tuple[HubFile, Path]] = {}
    for parent, _, names in os.walk(snapshot):
        for name in names:
            path = Path(parent, name)
            real = path.resolve()
            if real.is_file() and real.is_relative_to(folder.resolve()):  # a link out of the cache is not a file of it
                relative = path.relative_to(snapshot).as_posix()
                found[relative] = HubFile(relative, real.stat().st_size, _digest(real.name)), real
    return found


def _commit(folder: Path, revision: str) -> str:
    """The commit that the cache knows for a revision; the revision itself, if it may be one, where it knows none."""
    try:
        text = read_regular(folder / "refs" / revision, _MAX_REF_BYTES)[0].decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return revision
    return text if _COMMIT.fullmatch(text) else revision


def _digest(name: str) -> Digest | None:
    """What a file in `blobs` is called; small ones have Git's names, and copies in place of links their own."""
    try:
        return Digest.parse(f"sha256:{name}")
    except InvalidDigest:
        return None


def _link_or_copy(path: Path, to: Path) -> None:
    """A hard link needs one file system, and a file that is ours: its mode and its time become the store's."""
    if path.stat().st_uid == os.geteuid():
        to.unlink()
        try:
            os.link(path, to)
            return
        except OSError as error:
            log.debug("%s is copied: %s", path, error)
    shutil.copyfile(path, to)
