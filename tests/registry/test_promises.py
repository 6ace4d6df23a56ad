from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from registry.promises import LASTS_S
from registry.prune import GRACE_NS
from registry.store import Store

CONTENT = b"weights"
DIGEST = Digest.of(CONTENT)
NAME = ModelName.parse("m")
MANIFEST = Manifest(None, (Layer(MediaType.MODEL, DIGEST, len(CONTENT)),))


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.blobs.put_bytes(CONTENT)
    store.write_model(NAME, MANIFEST)
    return store


@pytest.fixture
def theirs(ours: Store) -> Store:
    """Another server on the same store."""
    return Store(ours.root)


def marks(store: Store) -> list[Path]:
    directory = store.root / ".puna" / "promises"
    return list(directory.iterdir()) if directory.exists() else []


def test_another_server_does_not_take_away_what_was_promised(ours: Store, theirs: Store) -> None:
    assert ours.promise(DIGEST)
    assert theirs.delete_model(NAME) == ()
    ours.write_model(NAME, MANIFEST)
    assert ours.blobs.read_bytes(DIGEST) == CONTENT


def test_a_model_ends_the_promise_that_it_was_made_with(ours: Store, theirs: Store) -> None:
    ours.promise(DIGEST)
    ours.write_model(NAME, MANIFEST)
    assert marks(ours) == []
    assert theirs.delete_model(NAME) == (DIGEST,)


def test_a_model_of_another_server_does_not_end_it(ours: Store, theirs: Store) -> None:
    ours.promise(DIGEST)
    theirs.write_model(ModelName.parse("other"), MANIFEST)
    theirs.delete_model(ModelName.parse("other"))
    assert theirs.delete_model(NAME) == ()


def test_ones_own_client_may_take_back_what_it_was_promised(ours: Store) -> None:
    ours.promise(DIGEST)
    assert ours.delete_model(NAME) == (DIGEST,)


def test_a_promise_is_over_after_a_while(ours: Store, theirs: Store) -> None:
    ours.promise(DIGEST)
    [mark] = marks(ours)
    before = time.time() - LASTS_S - 1
    os.utime(mark, (before, before))
    assert theirs.delete_model(NAME) == (DIGEST,)
    assert marks(ours) == []


def test_what_was_kept_for_a_promise_goes_with_the_next_removal(ours: Store, theirs: Store) -> None:
    ours.promise(DIGEST)
    theirs.delete_model(NAME)
    [mark] = marks(ours)
    mark.unlink()
    assert theirs.remove_unused([]) == (DIGEST,)


def test_a_promise_is_about_what_is_there(ours: Store) -> None:
    assert not ours.promise(Digest.of(b"other"))
    assert marks(ours) == []


def test_a_promise_renews_the_time_that_a_prune_looks_at(ours: Store, theirs: Store) -> None:
    ours.delete_model(NAME)
    ours.blobs.put_bytes(CONTENT)
    path = ours.blobs.path(DIGEST)
    os.utime(path, ns=(1, 1))
    ours.promise(DIGEST)
    assert theirs.maintain(now_ns=time.time_ns() + GRACE_NS // 2).n_blobs_removed == 0
    assert theirs.maintain(now_ns=time.time_ns() + 2 * GRACE_NS).n_blobs_removed == 1
