"""The store as a whole: what has to look at names and contents at once, safe against other processes doing the same."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import BlobNotFound, InvalidManifest, ManifestNotFound, StoreUnusable
from registry.files import make_directories, translated
from registry.locks import Lease, Leases, StoreLock
from registry.manifest import Manifest, encode_manifest, parse_manifest
from registry.manifests import ManifestStore, Scan
from registry.names import ModelName
from registry.promises import Promises
from registry.prune import GRACE_NS, BlobFile, plan_prune, plan_removal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """A model that was written: its stored spelling, and what the model it replaced had and it has not."""

    name: ModelName
    dropped: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What a start-up maintenance did, in counts."""

    n_renamed: int = 0
    n_blobs_removed: int = 0
    n_directories_removed: int = 0


class Store:
    """The models directory `root`. All methods block and belong into threads.

    Build a model under a lease: `with store.lease() as lease:` write new blobs, `blobs.touch` the reused ones, and
    finish with `replace_model(…, lease=lease)`. Nothing that was written or touched meanwhile is removed by anybody.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = StoreLock(root)
        self._leases = Leases(self._lock)
        self._promises = Promises(self._lock.directory / "promises")
        self._postponed: set[Digest] = set()
        self.blobs = BlobStore(root, self._lock)
        self.manifests = ManifestStore(root, self._lock)

    def lock(self, *, exclusive: bool) -> AbstractContextManager[None]:
        """Order several short steps against other threads and processes; see `registry.locks`. Raises: StoreBusy."""
        return self._lock.hold(exclusive=exclusive)

    def lease(self) -> Lease:
        """Begin building a model; a context manager. Raises: StoreUnusable."""
        return self._leases.begin()

    def promise(self, digest: Digest) -> bool:
        """Whether the store has a blob; no other server takes it away then before there was time to build with it.

        Raises: StoreUnusable.
        """
        with self.lock(exclusive=False):
            if not self.blobs.has(digest):
                return False
            self.blobs.touch(digest)
            self._promises.make(digest)
            return True

    def write_model(self, name: ModelName, manifest: Manifest | bytes) -> Written:
        """Write a manifest over whatever has its name, once all of its blobs are there; nothing is removed.

        Raises: BlobNotFound, InvalidManifest, StoreUnusable.
        """
        raw = manifest if isinstance(manifest, bytes) else encode_manifest(manifest)
        blobs = parse_manifest(raw).digests
        with self.lock(exclusive=False):
            for digest in blobs:
                if not self.blobs.has(digest):
                    raise BlobNotFound(digest)
            replaced = self._digests_of(name)
            stored = self.manifests.save(name, raw)
            for digest in blobs:
                self._promises.end(digest)
        return Written(stored, tuple(digest for digest in replaced if digest not in blobs))

    def remove_unused(self, digests: Iterable[Digest], *, lease: Lease | None = None) -> tuple[Digest, ...]:
        """Remove those of the blobs that no model has, nobody builds with and no other server has promised.

        `lease` is the caller's own, which does not count. What somebody needs is looked at again by the next call.
        Returns what was removed: nothing while a manifest cannot be read, because it may have any of them.
        Raises: StoreUnusable.
        """
        with self.lock(exclusive=True):
            scan = self.manifests.scan()
            if any(not problem.is_junk for problem in scan.problems):
                log.warning("unreadable manifests: unused blobs are kept. Re-pull or delete to clear")
                return ()
            unused = plan_removal((*digests, *self._postponed), _references(scan))
            started_ns, promised = self._leases.oldest_start_ns(besides=lease), self._promises.of_others()
            self._postponed = {
                digest
                for digest in unused
                if digest.hex.lower() in promised or self._is_renewed_since(digest, started_ns)
            }
            return tuple(d for d in unused if d not in self._postponed and self.blobs.remove(d))

    def replace_model(
        self, name: ModelName, manifest: Manifest | bytes, *, prune: bool = True, lease: Lease | None = None
    ) -> Written:
        """`write_model`, then with `prune` remove what only the replaced model had.

        # Compat: registry-store-cli 2.7, create over an existing model.
        """
        written = self.write_model(name, manifest)
        if prune and (written.dropped or self._postponed):
            self.remove_unused(written.dropped, lease=lease)
        return written

    def delete_model(self, name: ModelName) -> tuple[Digest, ...]:
        """Remove a model, readable or not, and the blobs that only it had; returns the latter.

        Raises: ManifestNotFound, StoreUnusable.
        # Compat: registry-store-cli 2.7; the original cannot delete an unreadable model.
        """
        with self.lock(exclusive=True):
            digests = self._digests_of(name)
            self.manifests.delete(name)
            return self.remove_unused(digests)

    def copy_model(self, source: ModelName, destination: ModelName) -> ModelName:
        """See ManifestStore.copy."""
        return self.manifests.copy(source, destination)

    def maintain(self, *, prune: bool = True, now_ns: int | None = None) -> Maintenance:
        """What a server does at its start: create the directories, migrate old names, and with `prune` clear away.

        Raises: StoreUnusable when there is no store and none can be made; one that cannot be written is left as it is.
        # Compat: registry-store-cli 2.6.
        """
        make_directories(self.blobs.directory)
        make_directories(self.manifests.directory)
        if not os.access(self.root, os.W_OK):
            log.warning("the store %s cannot be written: no maintenance", self.root)
            return Maintenance()
        with self.lock(exclusive=True):
            n_renamed = self._rename_old_blobs()
            if not prune:
                return Maintenance(n_renamed)
            return self._prune(n_renamed, time.time_ns() if now_ns is None else now_ns)

    def _prune(self, n_renamed: int, now_ns: int) -> Maintenance:
        before_ns = min(now_ns - GRACE_NS, self._leases.oldest_start_ns() or now_ns)
        self.manifests.remove_leftovers(before_ns=before_ns)
        scan = self.manifests.scan()
        if scan.problems:
            log.warning("corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear")
            return Maintenance(n_renamed)
        self._promises.of_others()  # clears those away that are over
        doomed = plan_prune(self._blob_files(), _references(scan), before_ns=before_ns)
        for file_name in doomed:
            path = self.blobs.directory / file_name
            with translated("remove", path):
                path.unlink(missing_ok=True)
        return Maintenance(n_renamed, len(doomed), self.manifests.remove_empty_directories())

    def _rename_old_blobs(self) -> int:
        """Blobs of early releases are named `sha256:<hex>`."""
        with translated("rename", self.blobs.directory):
            old = list(self.blobs.directory.glob("sha256:*"))
            for path in old:
                path.rename(path.with_name(path.name.replace(":", "-", 1)))
        return len(old)

    def _blob_files(self) -> list[BlobFile]:
        with translated("scan", self.blobs.directory), os.scandir(self.blobs.directory) as entries:
            files = (_blob_file(entry) for entry in entries if not entry.is_dir())
            return [file for file in files if file is not None]

    def _digests_of(self, name: ModelName) -> tuple[Digest, ...]:
        """What the model has, in order; nothing if there is none or it cannot be read."""
        stored = self.manifests.resolve(name)
        if stored is None:
            return ()
        try:
            return tuple(layer.digest for layer in self.manifests.load(stored).manifest.blobs)
        except (InvalidManifest, ManifestNotFound, StoreUnusable) as error:
            log.warning("the layers of %s stay until a prune: %s", stored, error)
            return ()

    def _is_renewed_since(self, digest: Digest, started_ns: int | None) -> bool:
        path = self.blobs.path(digest)
        return started_ns is not None and path.exists() and path.stat().st_mtime_ns >= started_ns


def _blob_file(entry: os.DirEntry[str]) -> BlobFile | None:
    """None for a file that got its final name, or went, while the directory was read."""
    try:
        own_ns = entry.stat(follow_symlinks=False).st_mtime_ns
        return BlobFile(entry.name, max(own_ns, entry.stat().st_mtime_ns) if entry.is_file() else own_ns)
    except FileNotFoundError:
        return None


def _references(scan: Scan) -> set[Digest]:
    return {digest for stored in scan.manifests for digest in stored.manifest.digests}
