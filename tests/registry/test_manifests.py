from __future__ import annotations

import hashlib
import logging
import os
import stat
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import CorruptManifest, InvalidManifest, ManifestNotFound, StoreUnusable
from registry.manifest import MAX_MANIFEST_BYTES, Layer, Manifest, MediaType, encode_manifest
from registry.manifests import ManifestStore
from registry.names import ModelName


def manifest(content: str) -> bytes:
    return encode_manifest(Manifest(None, (Layer(MediaType.LICENSE, Digest.of(content.encode()), len(content)),)))


RAW = manifest("MIT")


@pytest.fixture
def store(tmp_path: Path) -> ManifestStore:
    return ManifestStore(tmp_path)


def name(text: str) -> ModelName:
    return ModelName.parse(text)


def put(store: ManifestStore, *texts: str) -> None:
    """Write manifests as somebody else would."""
    for text in texts:
        path = store.directory / name(text).path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(RAW)


def names(store: ManifestStore) -> list[str]:
    return sorted(stored.name.display for stored in store.list())


@pytest.mark.parametrize(
    ("stored", "asked", "found"),
    [
        (["foo"], "foo", "foo"),
        (["foo"], "FOO", "foo"),
        (["FOO"], "foo", "FOO"),
        (["foo", "FOO"], "FOO", "FOO"),
        (["foo", "FOO"], "Foo", "FOO"),
        (["Team/Bot:7B"], "team/bot:7b", "Team/Bot:7B"),
        (["HF.co/U/Repo:Q4_K_M"], "hf.co/u/repo:q4_k_m", "HF.co/U/Repo:Q4_K_M"),
        (["FOO:7b", "foo:latest"], "foo:7b", "FOO:7b"),
        (["foo:latest"], "foo:7b", None),
        (["foo"], "bar", None),
        (["hf.co/u/other:Q4_k_m", "hf.co/u/repo:Q4_K_M"], "hf.co/u/repo:Q4_K_M", "hf.co/u/repo:Q4_K_M"),
        ([], "foo", None),
    ],
)
def test_a_name_finds_its_model_in_any_case(
    store: ManifestStore, stored: list[str], asked: str, found: str | None
) -> None:
    put(store, *stored)
    assert store.resolve(name(asked)) == (name(found) if found else None)


@pytest.mark.parametrize(
    ("stored", "asked", "written"),
    [
        ([], "Foo:Q4", "Foo:Q4"),
        (["foo:latest"], "FOO", "foo:latest"),
        (["foo:latest"], "FOO:Q4", "foo:Q4"),
        (["hf.co/u/other:q4_k_m"], "hf.co/u/repo:Q4_K_M", "hf.co/u/repo:Q4_K_M"),
        (["hf.co/u/repo:x", "hf.co/u/other:q4_k_m"], "HF.co/U/Repo:Q4_K_M", "hf.co/u/repo:Q4_K_M"),
        (["foo:a", "FOO:b"], "FOO:c", "FOO:c"),
        (["library2/foo:a"], "library/FOO:c", "library/FOO:c"),
    ],
)
def test_a_new_name_takes_the_spelling_of_what_is_there_but_keeps_its_tag(
    store: ManifestStore, stored: list[str], asked: str, written: str
) -> None:
    put(store, *stored)
    assert store.canonical(name(asked)) == name(written)
    assert store.save(name(asked), RAW) == name(written)
    assert names(store) == sorted({name(text).display for text in (*stored, written)})


def test_bytes_are_kept_as_they_came(store: ManifestStore) -> None:
    raw = RAW.replace(b'"schemaVersion":2', b'"schemaVersion" : 2, "unknown":{"x":[1.0]}').rstrip() + b"   \n\n"
    store.save(name("m"), raw)
    stored = store.load(name("M"))
    assert stored.path.read_bytes() == stored.raw == raw
    assert stored.digest_hex == hashlib.sha256(raw).hexdigest()
    assert stored.name == name("m")
    assert stored.path == store.directory / "registry.ollama.ai" / "library" / "m" / "latest"
    assert stored.modified_ns == stored.path.stat().st_mtime_ns
    assert stat.S_IMODE(stored.path.stat().st_mode) & 0o600 == 0o600


def test_what_could_not_be_read_back_is_not_written(store: ManifestStore) -> None:
    store.save(name("m"), RAW)
    with pytest.raises(InvalidManifest):
        store.save(name("m"), b"{")
    assert store.load(name("m")).raw == RAW


def test_a_failed_write_leaves_the_old_manifest_and_nothing_else(
    store: ManifestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(name("m"), RAW)
    before = sorted(store.directory.rglob("*"))

    def fail(source: Path, target: Path) -> None:
        raise OSError(5, "broken")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreUnusable):
        store.save(name("m"), manifest("other"))
    assert store.load(name("m")).raw == RAW
    assert sorted(store.directory.rglob("*")) == before


def test_an_unfinished_write_is_no_file_where_the_original_looks(
    store: ManifestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Path]] = []
    replace = os.replace

    def look(source: Path, target: Path) -> None:
        seen.append(list(store.directory.glob("*/*/*/*")))
        assert Path(source).exists()
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    store.save(name("m"), RAW)
    assert seen == [[]]


def test_the_list_is_newest_first_by_whole_seconds_then_by_name(store: ManifestStore) -> None:
    second = 1_000_000_000
    times = {"c": 50 * second, "b": 100 * second + 1, "a": 100 * second, "d": 101 * second, "e": 100 * second + 2}
    for text, time_ns in times.items():
        put(store, text)
        os.utime(store.directory / name(text).path, ns=(time_ns, time_ns))
    assert [stored.name.model for stored in store.list()] == ["d", "a", "b", "e", "c"]


def test_an_absent_store_lists_nothing_and_is_not_created(store: ManifestStore) -> None:
    assert store.list() == []
    assert store.resolve(name("m")) is None
    with pytest.raises(ManifestNotFound, match=r"^model 'm:latest' not found$"):
        store.load(name("m"))
    assert not store.directory.exists()


def test_links_to_directories_and_files_are_followed(store: ManifestStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "latest").write_bytes(RAW)
    put(store, "m")
    (store.directory / name("linked").path).parent.symlink_to(elsewhere)
    (store.directory / name("m:second").path).symlink_to(elsewhere / "latest")
    assert names(store) == ["linked:latest", "m:latest", "m:second"]
    store.save(name("linked:new"), RAW)
    assert (elsewhere / "new").read_bytes() == RAW


def make_junk(store: ManifestStore) -> dict[str, str]:
    """Everything that may lie where a manifest should; path below the model's directory → what is said about it."""
    put(store, "good", "bad")
    directory = (store.directory / name("bad").path).parent
    (directory / "latest").write_bytes(b"{not json")
    (directory / ".DS_Store").write_bytes(b"\0\0")
    (directory / "white space").write_bytes(RAW)
    (directory / "dangling").symlink_to("nowhere")
    (directory / "loop").symlink_to("loop")
    (directory / "huge").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    (directory / "traversal").write_bytes(RAW.replace(str(Digest.of(b"MIT")).encode(), b"sha256:../../../etc/passwd"))
    os.mkfifo(directory / "pipe")
    (directory / "directory").mkdir()
    (directory / ".puna-123").write_bytes(b"unfinished")
    (store.directory / ".DS_Store").write_bytes(b"")
    (directory.parent / "a-file").write_bytes(b"")
    return {
        "latest": "invalid JSON",
        ".DS_Store": "not a model name",
        "white space": "not a model name",
        "dangling": "link to nothing",
        "loop": "too many levels of symbolic links",
        "huge": "more than the 4194304 allowed",
        "traversal": "invalid digest format",
        "pipe": "not a regular file",
    }


def test_junk_is_skipped_and_logged_once(store: ManifestStore, caplog: pytest.LogCaptureFixture) -> None:
    expected = make_junk(store)
    assert names(store) == ["good:latest"]
    messages = {record.args[0].name: record.getMessage() for record in caplog.records}  # type: ignore[union-attr,index]
    assert set(messages) == set(expected)
    assert all(expected[path] in message for path, message in messages.items()), messages
    caplog.clear()
    store.list()
    assert caplog.records == []
    assert logging.getLogger("registry.manifests").isEnabledFor(logging.WARNING)


def test_junk_without_a_models_name_is_told_from_damage(store: ManifestStore) -> None:
    make_junk(store)
    assert {problem.path.name for problem in store.scan().problems if problem.is_junk} == {".DS_Store", "white space"}


def test_an_unreadable_directory_is_damage(store: ManifestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "m", "u/n")
    closed = store.directory / "registry.ollama.ai" / "library"
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path) == closed:
            raise PermissionError(13, "denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    scan = store.scan()
    assert [stored.name.display for stored in scan.manifests] == ["u/n:latest"]
    assert [(str(problem.path), problem.is_junk) for problem in scan.problems] == [
        ("registry.ollama.ai/library", False)
    ]


@pytest.mark.parametrize(
    ("tag", "error"),
    [
        ("latest", CorruptManifest),
        ("huge", CorruptManifest),
        ("traversal", CorruptManifest),
        ("dangling", ManifestNotFound),
        ("loop", StoreUnusable),
        ("pipe", StoreUnusable),
        ("directory", ManifestNotFound),
    ],
)
def test_loading_damage_says_what_it_is(store: ManifestStore, tag: str, error: type[Exception]) -> None:
    make_junk(store)
    with pytest.raises(error):
        store.load(name(f"bad:{tag}"))


def test_a_corrupt_manifest_is_named_by_its_path_in_the_store(store: ManifestStore) -> None:
    make_junk(store)
    with pytest.raises(CorruptManifest) as caught:
        store.load(name("bad"))
    assert str(caught.value).startswith("corrupt manifest registry.ollama.ai/library/bad/latest: invalid JSON: ")


@pytest.mark.parametrize("tag", ["latest", "huge", "dangling", "loop", "pipe"])
def test_damage_can_be_deleted(store: ManifestStore, tag: str) -> None:
    make_junk(store)
    store.delete(name(f"bad:{tag}"))
    assert not os.path.lexists(store.directory / name(f"bad:{tag}").path)


def test_deleting_the_last_tag_removes_the_directories_but_not_the_root(store: ManifestStore) -> None:
    put(store, "m:a", "m:b", "hf.co/u/n")
    assert store.delete(name("M:A")) == name("m:a")
    assert names(store) == ["hf.co/u/n:latest", "m:b"]
    store.delete(name("m:b"))
    assert sorted(path.name for path in store.directory.iterdir()) == ["hf.co"]
    store.delete(name("hf.co/u/n"))
    assert list(store.directory.iterdir()) == []
    with pytest.raises(ManifestNotFound):
        store.delete(name("m:b"))


def test_a_copy_has_the_same_digest(store: ManifestStore) -> None:
    put(store, "m")
    assert store.copy(name("M"), name("team/p:v1")) == name("team/p:v1")
    assert store.load(name("team/p:v1")).digest_hex == store.load(name("m")).digest_hex


def test_a_copy_onto_itself_is_nothing(store: ManifestStore) -> None:
    put(store, "m")
    path = store.directory / name("m").path
    os.utime(path, ns=(5, 5))
    assert store.copy(name("m"), name("M")) == name("m")
    assert path.stat().st_mtime_ns == 5


def test_a_copy_overwrites_and_needs_a_source(store: ManifestStore) -> None:
    put(store, "m")
    store.save(name("other"), manifest("other"))
    store.copy(name("m"), name("OTHER"))
    assert store.load(name("other")).raw == RAW
    assert names(store) == ["m:latest", "other:latest"]
    with pytest.raises(ManifestNotFound, match="nope:latest"):
        store.copy(name("nope"), name("x"))


def test_leftovers_of_crashed_writers_are_removed_when_they_are_old(store: ManifestStore) -> None:
    put(store, "m")
    directory = (store.directory / name("m").path).parent
    for path in (directory / ".puna-1", directory.parent / ".puna-2", directory.parent / ".puna-3"):
        path.write_bytes(b"")
        os.utime(path, ns=(10, 10))
    os.utime(directory.parent / ".puna-3", ns=(20, 20))
    assert store.remove_leftovers(before_ns=20) == 2
    assert sorted(path.name for path in directory.parent.iterdir()) == [".puna-3", "m"]


def test_empty_directories_are_removed_but_no_links(store: ManifestStore, tmp_path: Path) -> None:
    put(store, "m")
    (store.directory / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (store.directory / "linked").symlink_to(tmp_path / "empty")
    assert store.remove_empty_directories() == 3
    assert sorted(path.name for path in store.directory.iterdir()) == ["linked", "registry.ollama.ai"]
