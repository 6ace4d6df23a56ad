from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import BlobNotFound, InvalidManifest, ManifestNotFound, StoreBusy, StoreUnusable
from registry.locks import StoreLock
from registry.manifest import Layer, Manifest, MediaType, encode_manifest
from registry.manifests import ManifestStore
from registry.names import ModelName
from registry.prune import GRACE_NS
from registry.store import Maintenance, Store, Written

NOW_NS = 1_500_000_000 * 1_000_000_000
OLD_NS = NOW_NS - GRACE_NS - 1


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def name(text: str) -> ModelName:
    return ModelName.parse(text)


def layer(content: str) -> Layer:
    return Layer(MediaType.LICENSE, Digest.of(content.encode()), len(content))


def manifest(*contents: str) -> Manifest:
    return Manifest(None, tuple(map(layer, contents)))


def build(store: Store, model: str, *contents: str, prune: bool = True) -> Written:
    for content in contents:
        store.blobs.put_bytes(content.encode())
    return store.replace_model(name(model), manifest(*contents), prune=prune)


def contents(store: Store) -> set[str]:
    return {store.blobs.read_bytes(digest).decode() for digest in store.blobs.digests()}


def age(store: Store, time_ns: int = OLD_NS) -> None:
    for path in store.blobs.directory.iterdir():
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def test_a_model_is_not_written_before_its_blobs_are_there(store: Store) -> None:
    store.blobs.put_bytes(b"a")
    with pytest.raises(BlobNotFound):
        store.write_model(name("m"), manifest("a", "b"))
    with pytest.raises(InvalidManifest):
        store.write_model(name("m"), b"{")
    assert store.manifests.list() == []


def test_deleting_removes_only_what_no_other_model_has(store: Store) -> None:
    build(store, "one", "shared", "first")
    build(store, "two", "shared", "second")
    assert store.delete_model(name("ONE")) == (layer("first").digest,)
    assert contents(store) == {"shared", "second"}
    store.delete_model(name("two"))
    assert contents(store) == set()
    with pytest.raises(ManifestNotFound):
        store.delete_model(name("two"))


def test_deleting_takes_the_config_and_bears_missing_blobs(store: Store) -> None:
    store.blobs.put_bytes(b"config")
    store.blobs.put_bytes(b"gone")
    store.write_model(name("m"), Manifest(layer("config"), (layer("gone"),)))
    store.blobs.remove(layer("gone").digest)
    assert store.delete_model(name("m")) == (layer("config").digest,)
    assert contents(store) == set()


def test_a_deleted_copy_takes_nothing_from_the_other(store: Store) -> None:
    build(store, "m", "a")
    store.copy_model(name("m"), name("twin"))
    assert store.delete_model(name("m")) == ()
    assert contents(store) == {"a"}


def test_replacing_removes_what_only_the_old_model_had(store: Store) -> None:
    build(store, "m", "kept", "dropped", "elsewhere")
    build(store, "other", "elsewhere")
    written = build(store, "M", "kept", "new")
    assert written == Written(name("m"), (layer("dropped").digest, layer("elsewhere").digest))
    assert contents(store) == {"kept", "new", "elsewhere"}


def test_replacing_without_prune_removes_nothing(store: Store) -> None:
    build(store, "m", "old")
    assert build(store, "m", "new", prune=False).dropped == (layer("old").digest,)
    assert contents(store) == {"old", "new"}


def test_pull_can_write_first_and_remove_later(store: Store) -> None:
    build(store, "m", "old")
    store.blobs.put_bytes(b"new")
    written = store.write_model(name("m"), encode_manifest(manifest("new")))
    assert contents(store) == {"old", "new"}
    assert store.remove_unused(written.dropped) == (layer("old").digest,)


def test_a_copy_over_a_model_leaves_its_blobs_to_a_prune(store: Store) -> None:
    build(store, "m", "a")
    build(store, "other", "b")
    store.copy_model(name("m"), name("other"))
    assert contents(store) == {"a", "b"}


def break_manifest(store: Store, model: str) -> Path:
    path = store.manifests.load(name(model)).path
    path.write_bytes(b"{")
    return path


def test_while_a_manifest_cannot_be_read_nothing_is_removed(store: Store) -> None:
    build(store, "one", "first")
    build(store, "two", "shared?")
    broken = break_manifest(store, "two")
    assert store.delete_model(name("one")) == ()
    assert contents(store) == {"first", "shared?"}
    assert broken.exists()


def test_a_corrupt_model_can_be_deleted_and_overwritten(store: Store) -> None:
    build(store, "one", "first")
    break_manifest(store, "one")
    store.delete_model(name("one"))
    assert store.manifests.scan().problems == ()
    build(store, "two", "second")
    break_manifest(store, "two")
    assert build(store, "two", "third").dropped == ()
    assert [stored.name.model for stored in store.manifests.list()] == ["two"]


def test_junk_beside_the_manifests_does_not_keep_blobs_alive(store: Store) -> None:
    build(store, "m", "a")
    build(store, "m:other", "b")
    (store.manifests.load(name("m")).path.parent / ".DS_Store").write_bytes(b"\0")
    store.delete_model(name("m"))
    assert contents(store) == {"b"}


def test_a_layer_reused_under_a_lease_survives_the_deletion_of_its_model(store: Store) -> None:
    build(store, "base", "weights", "license")
    age(store)
    other = Store(store.root)
    with store.lease() as lease:
        store.blobs.touch(layer("weights").digest)
        assert other.delete_model(name("base")) == (layer("license").digest,)
        store.replace_model(name("new"), manifest("weights"), lease=lease)
    assert contents(store) == {"weights"}


def test_content_written_again_under_a_lease_survives_too(store: Store) -> None:
    build(store, "base", "template")
    age(store)
    with store.lease() as lease:
        assert store.blobs.put_bytes(b"template") == (layer("template").digest, False)
        assert Store(store.root).delete_model(name("base")) == ()
        store.replace_model(name("new"), manifest("template"), lease=lease)


def test_what_a_lease_kept_is_removed_after_it(store: Store) -> None:
    build(store, "base", "weights")
    build(store, "other", "x")
    age(store)
    with store.lease():
        store.blobs.touch(layer("weights").digest)
        assert store.delete_model(name("base")) == ()
        assert store.delete_model(name("other")) == (layer("x").digest,)
    assert contents(store) == {"weights"}
    build(store, "third", "y")
    assert contents(store) == {"y"}


def test_the_own_lease_does_not_keep_what_the_own_model_dropped(store: Store) -> None:
    build(store, "m", "old")
    with store.lease() as lease:
        store.blobs.put_bytes(b"old")
        store.blobs.put_bytes(b"new")
        store.replace_model(name("m"), manifest("new"), lease=lease)
    assert contents(store) == {"new"}


def test_a_removal_waits_for_short_steps_of_others(store: Store) -> None:
    build(store, "m", "a")
    removed = threading.Event()

    def delete() -> None:
        Store(store.root).delete_model(name("m"))
        removed.set()

    thread = threading.Thread(target=delete)
    with store.lock(exclusive=False):
        thread.start()
        assert not removed.wait(0.05)
        assert store.blobs.has(layer("a").digest)
    assert removed.wait(10)
    thread.join()


def write_blob(blobs: BlobStore, content: bytes) -> None:
    with blobs.writer() as writer:
        writer.write(content)
        writer.commit()


@pytest.mark.parametrize(
    "step",
    [
        lambda blobs, manifests: blobs.put_bytes(b"a"),
        lambda blobs, manifests: blobs.touch(layer("a").digest),
        lambda blobs, manifests: write_blob(blobs, b"a"),
        lambda blobs, manifests: write_blob(blobs, b"new"),
        lambda blobs, manifests: manifests.save(name("n"), encode_manifest(manifest("a"))),
        lambda blobs, manifests: manifests.copy(name("m"), name("n")),
    ],
    ids=["put", "touch", "write again", "write", "save", "copy"],
)
def test_what_makes_a_blob_wanted_waits_for_a_removal_of_others(
    store: Store, step: Callable[[BlobStore, ManifestStore], object]
) -> None:
    build(store, "m", "a")
    lock = StoreLock(store.root, max_wait_s=0)
    with store.lock(exclusive=True), pytest.raises(StoreBusy):
        step(BlobStore(store.root, lock), ManifestStore(store.root, lock))


def test_maintenance_makes_the_directories(tmp_path: Path) -> None:
    assert Store(tmp_path / "a" / "models").maintain() == Maintenance()
    assert sorted(path.name for path in (tmp_path / "a" / "models").iterdir()) == [".puna", "blobs", "manifests"]


def test_maintenance_says_why_there_can_be_no_store(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(StoreUnusable, match="not a directory: ensure path elements are traversable"):
        Store(tmp_path / "models").maintain()


def test_maintenance_leaves_a_store_that_cannot_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    build(store, "m", "a")
    store.blobs.put_bytes(b"orphan")
    age(store)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert store.maintain(now_ns=NOW_NS) == Maintenance()
    assert contents(store) == {"a", "orphan"}


def test_maintenance_prunes_what_is_old_and_unreferenced(store: Store) -> None:
    build(store, "m", "a")
    store.blobs.put_bytes(b"orphan")
    for file_name in (
        "sha256-42",
        f"{layer('x').digest.file_name}-partial",
        f"{layer('x').digest.file_name}-partial-0",
    ):
        (store.blobs.directory / file_name).write_bytes(b"")
    (store.blobs.directory / "dangling").symlink_to("nowhere")
    (store.blobs.directory / "directory").mkdir()
    (store.manifests.directory / "h" / "n").mkdir(parents=True)
    age(store, NOW_NS - GRACE_NS)
    assert store.maintain(now_ns=NOW_NS) == Maintenance(n_directories_removed=2)
    age(store)
    assert store.maintain(now_ns=NOW_NS) == Maintenance(n_blobs_removed=5)
    assert sorted(path.name for path in store.blobs.directory.iterdir()) == sorted(
        ["directory", layer("a").digest.file_name]
    )


def test_maintenance_renames_blobs_of_early_releases_before_it_prunes(store: Store) -> None:
    build(store, "m", "a")
    path = store.blobs.path(layer("a").digest)
    path.rename(path.with_name(f"sha256:{layer('a').digest.hex}"))
    age(store)
    assert store.maintain(now_ns=NOW_NS) == Maintenance(n_renamed=1)
    assert contents(store) == {"a"}


@pytest.mark.parametrize("junk", [".DS_Store", "latest2"])
def test_maintenance_prunes_nothing_beside_anything_that_is_no_manifest(store: Store, junk: str) -> None:
    build(store, "m", "a")
    (store.manifests.load(name("m")).path.parent / junk).write_bytes(b"\0")
    (store.manifests.directory / "empty").mkdir()
    store.blobs.put_bytes(b"orphan")
    age(store)
    assert store.maintain(now_ns=NOW_NS) == Maintenance()
    assert contents(store) == {"a", "orphan"}
    assert (store.manifests.directory / "empty").exists()


def test_maintenance_without_prune_only_renames(store: Store) -> None:
    store.blobs.put_bytes(b"orphan")
    (store.blobs.directory / "sha256:123").write_bytes(b"")
    age(store)
    assert store.maintain(prune=False, now_ns=NOW_NS) == Maintenance(n_renamed=1)
    assert contents(store) == {"orphan"}


def test_maintenance_keeps_what_a_long_create_elsewhere_made(store: Store) -> None:
    with Store(store.root).lease() as lease:
        start_ns = lease.path.stat().st_mtime_ns
        store.blobs.put_bytes(b"converted hours ago")
        store.blobs.put_bytes(b"orphan")
        orphan = store.blobs.path(layer("orphan").digest)
        os.utime(orphan, ns=(start_ns - 1, start_ns - 1))
        hours_later = start_ns + 10 * GRACE_NS
        assert store.maintain(now_ns=hours_later) == Maintenance(n_blobs_removed=1)
        assert contents(store) == {"converted hours ago"}
    assert store.maintain(now_ns=hours_later) == Maintenance(n_blobs_removed=1)
