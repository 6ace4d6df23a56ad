"""The named half of the store: `manifests/<host>/<namespace>/<model>/<tag>`, each file the manifest of one model."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from registry import tree
from registry.errors import CorruptManifest, InvalidManifest, InvalidName, ManifestNotFound, StoreUnusable
from registry.files import make_directories, read_regular, sync_directory, translated, write_durably
from registry.locks import StoreLock
from registry.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from registry.names import ModelName

log = logging.getLogger(__name__)

TEMPORARY_PREFIX = ".puna-"


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A model in the store, named as its path spells it.

    `raw` are the file's bytes and `digest_hex` their SHA-256: the identity of the model that clients see.
    """

    name: ModelName
    manifest: Manifest
    raw: bytes
    digest_hex: str
    modified_ns: int
    path: Path


@dataclass(frozen=True, slots=True)
class Problem:
    """Something where manifests lie that is none; junk cannot even have been one, the rest may have references."""

    path: PurePosixPath
    reason: str
    is_junk: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """Everything found where manifests lie."""

    manifests: tuple[StoredManifest, ...]
    problems: tuple[Problem, ...]


Listing = list[StoredManifest]


class ManifestStore:
    """The manifests below `root`, the models directory. All methods block and belong into threads.

    Methods that take a name accept it in any case and find the stored spelling themselves.
    """

    def __init__(self, root: Path, lock: StoreLock | None = None) -> None:
        self.directory = root / "manifests"
        self._lock = lock or StoreLock(root)
        self._reported: set[Problem] = set()

    def resolve(self, name: ModelName) -> ModelName | None:
        """The stored spelling of the model's name: this very one, else one that differs in case only, else None.

        # Compat: registry-store-cli 1.3; the original replaces each part on its own, with parts of unrelated models.
        """
        found = tree.find(self.directory, name.parts)
        if name.parts in found:
            return name
        return ModelName(*min(found)) if found else None

    def canonical(self, name: ModelName) -> ModelName:
        """The spelling under which a model of that name is to be written.

        A stored model in another case is the one to overwrite; a new one takes the spelling of the host, namespace and
        model directories that exist, but keeps its tag.
        """
        stored = self.resolve(name)
        if stored is not None:
            return stored
        parts: tuple[str, ...] = ()
        for part in name.parts[:-1]:
            directories = tree.spellings(self.directory.joinpath(*parts), part, of_directories=True)
            parts = (*parts, part if part in directories else min(directories, default=part))
        return ModelName(parts[0], parts[1], parts[2], name.tag)

    def load(self, name: ModelName) -> StoredManifest:
        """Read one manifest. Raises: ManifestNotFound, CorruptManifest, StoreUnusable."""
        stored = self.resolve(name)
        if stored is None:
            raise ManifestNotFound(name)
        return self._read(stored)

    def list(self) -> Listing:
        """Every usable manifest, newest first by whole seconds, then by name; the others are logged once each.

        # Compat: registry-store-cli 2.5; a dangling link does not fail the listing here.
        """
        scan = self.scan()
        for problem in set(scan.problems) - self._reported:
            log.warning("skipping manifest %s: %s", problem.path, problem.reason)
        self._reported = set(scan.problems)
        return sorted(scan.manifests, key=lambda stored: (-(stored.modified_ns // 1_000_000_000), stored.name.full))

    def scan(self) -> Scan:
        """Read the whole tree, in no order, and say what in it could not be read. Raises: StoreUnusable."""
        manifests: list[StoredManifest] = []
        problems: list[Problem] = []
        with translated("scan", self.directory):
            for parts in tree.walk(self.directory, depth=4):
                if parts[-1].startswith(TEMPORARY_PREFIX):
                    continue
                found = self._examine(parts)
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    manifests.append(found)
        return Scan(tuple(manifests), tuple(problems))

    def save(self, name: ModelName, raw: bytes) -> ModelName:
        """Write a manifest byte for byte, durably, in place of the one before; returns the spelling it is stored under.

        Raises: InvalidManifest for bytes that could not be read back; StoreUnusable.
        """
        parse_manifest(raw)
        with self._lock.hold(exclusive=False):
            stored = self.canonical(name)
            path = self._path(stored)
            make_directories(path.parent)
            with translated("stat", path.parent):
                is_one_device = path.parent.stat().st_dev == path.parent.parent.stat().st_dev
            # One level up the original does not look; beside the manifests it would take an unfinished file for one.
            workplace = path.parent.parent if is_one_device else path.parent
            write_durably(path, raw, workplace, TEMPORARY_PREFIX)
            return stored

    def delete(self, name: ModelName) -> ModelName:
        """Remove a manifest, readable or not, and the directories it leaves empty; blobs stay.

        Raises: ManifestNotFound, StoreUnusable.
        """
        with self._lock.hold(exclusive=True):
            stored = self.resolve(name)
            if stored is None:
                raise ManifestNotFound(name)
            path = self._path(stored)
            with translated("remove", path):
                path.unlink()
                sync_directory(path.parent)
            with contextlib.suppress(OSError):  # not empty, or a link
                for directory in path.parents[:3]:
                    directory.rmdir()
            return stored

    def copy(self, source: ModelName, destination: ModelName) -> ModelName:
        """Give a model a second name: the same bytes, and so the same digest; returns the spelling of the new name.

        Raises: ManifestNotFound, CorruptManifest, StoreUnusable.
        # Compat: registry-store-cli 2.7: onto itself it is nothing; blobs of an overwritten model stay until a prune.
        """
        with self._lock.hold(exclusive=False):
            original = self.load(source)
            if self.canonical(destination) == original.name:
                return original.name
            return self.save(destination, original.raw)

    def remove_empty_directories(self) -> int:
        """Remove directories without anything in them, links left alone; how many went."""
        n_removed = 0
        for path, _, _ in os.walk(self.directory, topdown=False):
            if Path(path) != self.directory:
                with contextlib.suppress(OSError):  # not empty
                    os.rmdir(path)
                    n_removed += 1
        return n_removed

    def remove_leftovers(self, *, before_ns: int) -> int:
        """Remove unfinished writes of crashed processes, if older than `before_ns`; how many went."""
        n_removed = 0
        for path in (
            *self.directory.glob(f"*/*/{TEMPORARY_PREFIX}*"),
            *self.directory.glob(f"*/*/*/{TEMPORARY_PREFIX}*"),
        ):
            with translated("remove", path), contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime_ns < before_ns:
                    path.unlink()
                    n_removed += 1
        return n_removed

    def _path(self, name: ModelName) -> Path:
        return self.directory / name.path

    def _examine(self, parts: tuple[str, ...]) -> StoredManifest | Problem:
        path = PurePosixPath(*parts)
        if len(parts) < 4:
            return Problem(path, "the directory may not be read", is_junk=False)
        try:
            return self._read(ModelName.from_parts(*parts))
        except InvalidName:
            return Problem(path, "its path is not a model name", is_junk=True)
        except ManifestNotFound:
            return Problem(path, "it is a link to nothing", is_junk=False)
        except CorruptManifest as error:
            return Problem(path, error.reason, is_junk=False)
        except StoreUnusable as error:
            return Problem(path, str(error), is_junk=False)

    def _read(self, name: ModelName) -> StoredManifest:
        path = self._path(name)
        with translated("read", path):
            try:
                raw, state = read_regular(path, MAX_MANIFEST_BYTES)
            except FileNotFoundError as error:
                raise ManifestNotFound(name) from error
        try:
            manifest = parse_manifest(raw)
        except InvalidManifest as error:
            raise CorruptManifest(name.path, error.reason) from error
        return StoredManifest(name, manifest, raw, hashlib.sha256(raw).hexdigest(), state.st_mtime_ns, path)
