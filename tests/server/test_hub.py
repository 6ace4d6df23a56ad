"""Models of the Hugging Face Hub that are made of its files: sharded, private, of a revision, from the cache."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from models.errors import InvalidGGUF
from models.gguf.reader import read_gguf
from models.gguf.values import ValueType
from models.library import Library
from registry.digest import Digest
from registry.errors import ManifestNotFound, RegistryError
from registry.hub.source import Hub, HubSettings
from registry.manifest import MediaType
from registry.names import ModelName
from registry.pace import Pace
from registry.progress import Progress
from registry.registries import Registries
from registry.store import Store
from server.hub import HubPull
from tests.fakes.faulty_http import Cut, Replace, Status
from tests.fakes.gguf_file import LLAMA, LLAMA_TENSORS, gguf_bytes, llama_bytes
from tests.fakes.hub import COMMIT, FakeHub
from tests.fakes.registry import FakeRegistry

pytestmark = pytest.mark.anyio

WHOLE = llama_bytes()
OTHER = llama_bytes(general__name="other")
PROJECTOR = gguf_bytes({"general.architecture": "clip", "general.type": "mmproj", "clip.vision.block_count": 1})
PLAIN = {"m-Q8_0.gguf": OTHER, "m-Q4_K_M.gguf": WHOLE, "README.md": b"# m"}


def shard(index: int, count: int) -> bytes:
    split = {"split.no": (ValueType.UINT16, index), "split.count": (ValueType.UINT16, count)}
    return gguf_bytes((LLAMA if index == 0 else {}) | split, [LLAMA_TENSORS[index]])


SHARDED = {f"q/m-Q4_K_M-{n + 1:05}-of-00003.gguf": shard(n, 3) for n in range(3)}


class Machine:
    """A store, and the way from the Hub into it."""

    def __init__(self, folder: Path, settings: HubSettings) -> None:
        self.store = Store(folder / "models")
        self.store.maintain()
        self.library = Library(self.store)
        pace = Pace(part_bytes=6000, flush_bytes=64, stream_delay_s=0.0, sleep=lambda _: asyncio.sleep(0))
        self.registries = Registries(self.store, folder, version="0.33.0", pace=pace, stall_s=2)
        self.settings = settings

    async def pull(self, text: str, **settings: Any) -> list[Progress]:
        hub = Hub(dataclasses.replace(self.settings, **settings))
        pull = HubPull(hub, self.registries, self.store, self.library, prune=True)
        async with aclosing(pull.pull(ModelName.parse(text))) as steps:
            return [step async for step in steps]

    async def refusal(self, text: str, **settings: Any) -> str:
        with pytest.raises(RegistryError) as caught:
            await self.pull(text, **settings)
        return str(caught.value).removeprefix("pull model manifest: ")

    def layers(self, text: str, kind: MediaType) -> list[bytes]:
        manifest = self.store.manifests.load(ModelName.parse(text)).manifest
        return [self.store.blobs.read_bytes(layer.digest) for layer in manifest.of_kind(kind)]

    def unreferenced(self) -> set[str]:
        kept = {d.file_name for stored in self.store.manifests.list() for d in stored.manifest.digests}
        return set(os.listdir(self.store.blobs.directory)) - kept


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


@pytest.fixture
async def machine(hub: FakeHub, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, HubSettings(hub.endpoint, cache=tmp_path / "cache", has_registry=False))
    yield machine
    await machine.registries.close()


def statuses(steps: list[Progress]) -> list[str]:
    return list(dict.fromkeys(step.status for step in steps))


# -- what comes


@pytest.mark.parametrize(
    ("label", "expected"), [("", WHOLE), (":latest", WHOLE), (":q8_0", OTHER), (":m-Q8_0.gguf", OTHER)]
)
async def test_a_model_of_one_file(label: str, expected: bytes, hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", PLAIN)
    steps = await machine.pull(f"hf.co/u/r{label}")
    pulling = f"pulling {Digest.of(expected).short}"
    assert statuses(steps) == ["pulling manifest", pulling, "verifying sha256 digest", "writing manifest", "success"]
    assert [step for step in steps if step.status == pulling][-1].completed == len(expected)
    assert machine.layers(f"hf.co/u/r{label}", MediaType.MODEL) == [expected]
    assert machine.library.spec(ModelName.parse(f"hf.co/u/r{label}")).facts.architecture == "llama"
    assert machine.unreferenced() == set()


async def test_shards_become_one_file_and_leave_nothing(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", SHARDED)
    steps = await machine.pull("hf.co/u/r:Q4_K_M")
    assert [s for s in statuses(steps) if s.startswith("pulling ")][1:] == [
        f"pulling {Digest.of(content).short}" for content in SHARDED.values()
    ]
    spec = machine.library.spec(ModelName.parse("hf.co/u/r:Q4_K_M"))
    assert spec.weights is not None
    assert [t.name for t in read_gguf(spec.weights).tensors or ()] == [t.name for t in LLAMA_TENSORS]
    assert machine.unreferenced() == set()


@pytest.mark.parametrize("stop_at", ["verifying sha256 digest", "merging GGUF shards", "writing manifest"])
async def test_a_merge_that_is_left_goes_on_without_the_shards(
    stop_at: str, hub: FakeHub, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.create.takeover.REPORT_BYTES", 100)
    monkeypatch.setattr("models.create.takeover.FREE_BYTES", 100)
    hub.add("u/r", SHARDED)
    pull = HubPull(Hub(machine.settings), machine.registries, machine.store, machine.library, prune=True)
    async with aclosing(pull.pull(ModelName.parse("hf.co/u/r"))) as steps:
        async for step in steps:
            if step.status == stop_at:
                break
    assert machine.store.manifests.list() == []
    sent = hub.sent_bytes
    n_shards = sum(machine.store.blobs.has(Digest.of(content)) for content in SHARDED.values())
    assert n_shards == (3 if stop_at == "verifying sha256 digest" else 0)
    await machine.pull("hf.co/u/r")
    assert hub.lines("/storage/")[6:] == [] and hub.sent_bytes - sent < min(map(len, SHARDED.values()))
    spec = machine.library.spec(ModelName.parse("hf.co/u/r"))
    assert spec.weights is not None
    assert [t.name for t in read_gguf(spec.weights).tensors or ()] == [t.name for t in LLAMA_TENSORS]
    assert machine.unreferenced() == set()


async def test_pulls_of_the_same_shards_at_once_share_their_downloads(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", SHARDED)
    hub.add("u/r", SHARDED, revision="v1")
    await asyncio.gather(*(machine.pull(name) for name in ("hf.co/u/r", "hf.co/u/r", "hf.co/u/r@v1")))
    assert hub.sent_bytes < 2 * sum(map(len, SHARDED.values()))
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == machine.layers("hf.co/u/r@v1", MediaType.MODEL)
    assert machine.unreferenced() == set()


async def test_shards_of_the_cache_stay_as_they_are(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hub.add("u/r", SHARDED)
    fill_cache(tmp_path / "cache", SHARDED)
    await machine.pull("hf.co/u/r")
    assert hub.lines("/storage/") == [] and machine.unreferenced() == set()
    for path, content in SHARDED.items():
        assert (tmp_path / "cache/models--u--r/snapshots" / COMMIT / path).read_bytes() == content


async def test_what_was_merged_is_not_fetched_again(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", SHARDED)
    await machine.pull("hf.co/u/r")
    manifest = machine.store.manifests.load(ModelName.parse("hf.co/u/r")).raw
    sent = hub.sent_bytes
    steps = await machine.pull("hf.co/u/r")
    assert hub.sent_bytes - sent < min(map(len, SHARDED.values()))
    assert statuses(steps)[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    assert machine.store.manifests.load(ModelName.parse("hf.co/u/r")).raw == manifest
    hub.add("u/r", SHARDED | {"system": b"Be brief."})
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.SYSTEM) == [b"Be brief."]


async def test_projector_and_texts_come_with_the_model(hub: FakeHub, machine: Machine) -> None:
    texts = {"template": b"{{ .Prompt }}!", "system": b"Be kind.", "params": b'{"stop":["<end>"],"temperature":0.5}'}
    hub.add("u/r", PLAIN | {"mmproj-F16.gguf": PROJECTOR} | texts)
    await machine.pull("hf.co/u/r")
    spec = machine.library.spec(ModelName.parse("hf.co/u/r"))
    assert machine.layers("hf.co/u/r", MediaType.PROJECTOR) == [PROJECTOR]
    assert (spec.template, spec.system) == ("{{ .Prompt }}!", "Be kind.")
    assert spec.parameters == {"stop": ["<end>"], "temperature": 0.5}


async def test_a_revision_is_a_model_of_its_own(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", PLAIN)
    hub.add("u/r", {"m-Q4_K_M.gguf": OTHER}, revision="v1.0")
    await machine.pull("hf.co/u/r:Q4_K_M@v1.0")
    await machine.pull("hf.co/u/r:Q4_K_M")
    names = sorted(stored.name.display for stored in machine.store.manifests.list())
    assert names == ["hf.co/u/r:Q4_K_M", "hf.co/u/r:Q4_K_M--v1.0"]
    assert machine.layers("hf.co/u/r:Q4_K_M@v1.0", MediaType.MODEL) == [OTHER]


@pytest.mark.parametrize("typed", ["refs/pr/1", "refs%2Fpr%2F1"])
async def test_a_revision_may_have_slashes(typed: str, hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", PLAIN | {"system": b"Be brief."}, revision="refs/pr/1")
    await machine.pull(f"hf.co/u/r:Q8_0@{typed}")
    assert [stored.name.display for stored in machine.store.manifests.list()] == ["hf.co/u/r:Q8_0--refs..pr..1"]
    for again in ("hf.co/u/r:Q8_0--refs..pr..1", "hf.co/u/r:Q8_0@refs/pr/1", "hf.co/u/r:Q8_0@refs%2fpr%2f1"):
        await machine.pull(again)
        assert machine.layers(again, MediaType.SYSTEM) == [b"Be brief."]
    assert len(machine.store.manifests.list()) == 1
    assert 'u/r has no revision "refs/pr/2"' in await machine.refusal("hf.co/u/r@refs/pr/2")


async def test_a_newer_version_replaces_what_only_the_older_one_had(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    hub.add("u/r", {"m.gguf": OTHER})
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [OTHER]
    assert machine.unreferenced() == set()


async def test_a_small_file_outside_the_storage_counts_too(hub: FakeHub, machine: Machine) -> None:
    hub.is_large = lambda path, content: False  # type: ignore[method-assign]
    hub.add("u/r", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]


# -- who may


async def test_the_hub_is_asked_for_the_model_and_nothing_else(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    assert [line for line in hub.lines() if "/storage/" not in line] == [
        "GET /api/models/u/r/tree/main",
        "HEAD /u/r/resolve/main/m.gguf",
    ]
    assert constants.HF_HUB_DISABLE_TELEMETRY
    assert not any("agent/" in headers.get("user-agent", "") for _, _, headers in hub.requests)


async def test_the_token_is_told_to_the_hub_alone(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", PLAIN | {"system": b"Be kind."})
    hub.private.add("u/r")
    await machine.pull("hf.co/u/r", token=hub.token)
    for _, path, headers in hub.requests:
        told = headers.get("Authorization") or headers.get("authorization")
        assert told == (None if path.startswith("/storage/") else f"Bearer {hub.token}"), path


@pytest.mark.parametrize(
    ("repository", "token", "reason"),
    [
        ("u/none", None, "u/none does not exist, or it is private: set HF_TOKEN to an access token for this server, "),
        ("u/none", "hf_secret", "u/none does not exist, or the account of the access token cannot read it"),
        ("u/private", None, "u/private does not exist, or it is private: set HF_TOKEN"),
        ("u/private", "wrong", "the Hub does not accept the access token for u/private: see HF_TOKEN"),
        (
            "u/gated",
            None,
            "u/gated is gated: it needs an account that has accepted its conditions at http://127.0.0.1:",
        ),
        ("u/plain", "wrong", "the Hub does not accept the access token for u/plain: see HF_TOKEN"),
        ("u/plain:Q2_K", None, 'the repository has no model "Q2_K"; it has: Q4_K_M, Q8_0'),
        ("u/plain@v9", None, 'u/plain has no revision "v9"'),
        ("u/empty", None, "the repository has no GGUF model"),
    ],
)
async def test_a_refusal_says_what_to_do(
    repository: str, token: str | None, reason: str, hub: FakeHub, machine: Machine
) -> None:
    for name in ("u/plain", "u/private", "u/gated"):
        hub.add(name, PLAIN)
    hub.add("u/empty", {"README.md": b"nothing"})
    hub.private.add("u/private")
    hub.gated.add("u/gated")
    assert (await machine.refusal(f"hf.co/{repository}", token=token)).startswith(reason)
    assert machine.store.manifests.list() == [] and machine.unreferenced() == set()


async def test_a_gated_repository_opens_for_the_token(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/gated", PLAIN)
    hub.gated.add("u/gated")
    await machine.pull("hf.co/u/gated", token=hub.token)
    assert machine.layers("hf.co/u/gated", MediaType.MODEL) == [WHOLE]


# -- what goes wrong


async def test_a_download_that_breaks_off_goes_on(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    hub.faults["storage"] = [None, Cut(300), Status(403, b"expired"), Cut(10)]
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]


@pytest.mark.parametrize(
    ("kind", "fault", "reason"),
    [
        ("tree", Status(501, b"busy"), "501"),
        ("tree", Status(403, b"no"), "u/r is forbidden"),
        ("tree", Replace(b"<html>"), "http://127.0.0.1:"),
        ("tree", Replace(b'{"a":1}'), "http://127.0.0.1:"),
        ("tree", Replace(b'[{"type":"file"}]'), "http://127.0.0.1:"),
        ("tree", Replace(b'[{"type":"file","path":"m.gguf","size":-1,"oid":"x"}]'), "the listing has a file without"),
        (
            "tree",
            Replace(
                b'[{"type":"file","path":"m.gguf","size":1,"oid":"x","lfs":{"oid":"../../x","size":1,"pointerSize":1}}]'
            ),
            "m.gguf: invalid digest format",
        ),
        ("file", Replace(b"other"), "system of u/r is not what the repository listed"),
        ("file", Replace(b"x" * (2 << 20)), "the answer has more than 1048576 bytes"),
    ],
)
async def test_a_bad_answer_is_reported_and_leaves_nothing(
    kind: str, fault: Any, reason: str, hub: FakeHub, machine: Machine
) -> None:
    hub.add("u/r", {"m.gguf": WHOLE, "system": b"Be kind."})
    hub.faults[kind] = [fault]
    assert (await machine.refusal("hf.co/u/r")).startswith(reason)
    assert machine.store.manifests.list() == [] and machine.unreferenced() == set()


async def test_content_of_another_digest_is_refused(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    hub.faults["storage"] = [Replace(WHOLE[::-1])] * 20
    assert (await machine.refusal("hf.co/u/r")).startswith("digest mismatch, file must be downloaded again")
    assert machine.store.manifests.list() == [] and machine.unreferenced() == set()


async def test_a_file_that_changes_meanwhile_is_refused(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    other = {"X-Linked-Etag": '"' + "0" * 64 + '"', "Location": "http://localhost/x"}
    hub.faults["head"] = [Status(302, b"", other)] * 20
    assert "m.gguf of u/r changed while it was fetched" in await machine.refusal("hf.co/u/r")


async def test_a_listing_has_an_end(hub: FakeHub, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hub.source.MAX_FILES", 10)
    hub.add("u/r", {f"{n}.txt": b"" for n in range(1000)})
    assert await machine.refusal("hf.co/u/r") == "u/r has more than 10 files"
    assert len(hub.lines("/tree/")) == 4


@pytest.mark.parametrize("text", [b"[]", b"{", b'"x"'])
async def test_parameters_that_are_none_are_refused(text: bytes, hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE, "params": text})
    assert (await machine.refusal("hf.co/u/r")).startswith("the file params of u/r: ")
    assert hub.lines("/storage/") == []
    assert machine.store.manifests.list() == []


async def test_no_name_of_a_file_leads_out_of_the_store(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hostile = ["../../../canary.gguf", "/canary.gguf", "..\\canary.gguf", "a/../../canary.gguf", "\x00.gguf"]
    hub.add("u/r", dict.fromkeys(hostile, OTHER) | {"good.gguf": WHOLE})
    before = sorted(os.listdir(tmp_path.parent))
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]
    assert sorted(os.listdir(tmp_path.parent)) == before and sorted(os.listdir(tmp_path)) == ["models"]


# -- the cache of other programs


def fill_cache(folder: Path, contents: dict[str, bytes], *, revision: str = "main", links: bool = True) -> None:
    """As `hf download` does."""
    repository = folder / "models--u--r"
    for name in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (repository / name).mkdir(parents=True, exist_ok=True)
    reference = repository / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(COMMIT)
    for path, content in contents.items():
        blob = repository / "blobs" / Digest.of(content).hex
        file = repository / "snapshots" / COMMIT / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if links:
            blob.write_bytes(content)
            file.symlink_to(os.path.relpath(blob, file.parent))
        else:
            file.write_bytes(content)


async def test_a_cached_file_is_not_fetched_and_not_copied(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    fill_cache(tmp_path / "cache", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    assert hub.lines("/storage/") == []
    blob = machine.store.blobs.path(Digest.of(WHOLE))
    assert blob.samefile(tmp_path / "cache" / "models--u--r" / "blobs" / Digest.of(WHOLE).hex)


async def test_a_damaged_cached_file_is_fetched_anew(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    fill_cache(tmp_path / "cache", {"m.gguf": WHOLE})
    damaged = tmp_path / "cache" / "models--u--r" / "blobs" / Digest.of(WHOLE).hex
    damaged.write_bytes(WHOLE[::-1])
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]
    assert damaged.read_bytes() == WHOLE[::-1]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("revision", ["main", "v1", "refs/pr/1"])
async def test_offline_the_cache_is_the_hub(
    links: bool, revision: str, hub: FakeHub, machine: Machine, tmp_path: Path
) -> None:
    fill_cache(tmp_path / "cache", SHARDED | {"system": b"Be kind."}, revision=revision, links=links)
    name = "hf.co/u/r" if revision == "main" else f"hf.co/u/r@{revision}"
    await machine.pull(name, is_offline=True)
    await machine.pull(name, is_offline=True)
    assert machine.layers(name, MediaType.SYSTEM) == [b"Be kind."]
    assert hub.requests == [] and machine.unreferenced() == set()


async def test_offline_without_the_files_says_so(machine: Machine, tmp_path: Path) -> None:
    assert await machine.refusal("hf.co/u/r", is_offline=True) == (
        f"u/r is not in the cache {tmp_path / 'cache'}, and HF_HUB_OFFLINE is set"
    )


@pytest.mark.parametrize("tag", ["latest--..", "latest--main..", "latest--..secret", "latest--a....b"])
async def test_no_revision_leads_out_of_the_cache(tag: str, machine: Machine, tmp_path: Path) -> None:
    fill_cache(tmp_path / "cache", {"m.gguf": WHOLE})
    assert "is not in the cache" in await machine.refusal(f"hf.co/u/r:{tag}", is_offline=True)


async def test_a_link_out_of_the_cache_is_no_file_of_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WHOLE)
    fill_cache(tmp_path / "cache", {})
    (tmp_path / "cache" / "models--u--r" / "snapshots" / COMMIT / "m.gguf").symlink_to(tmp_path / "secret")
    assert "is not in the cache" in await machine.refusal("hf.co/u/r", is_offline=True)


# -- the registry first


@pytest.fixture
def with_registry(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """The Hub's registry, under whatever host it is asked for."""
    machine.settings = dataclasses.replace(machine.settings, has_registry=True)
    with FakeRegistry() as registry:
        original = machine.registries.client

        def client(name: ModelName, *, insecure: bool) -> Any:
            return original(dataclasses.replace(name, host=registry.host), insecure=True)

        monkeypatch.setattr(machine.registries, "client", client)
        yield registry


async def test_what_the_registry_serves_comes_from_it(
    with_registry: FakeRegistry, hub: FakeHub, machine: Machine
) -> None:
    with_registry.add_model("u/r", {"model": WHOLE}, tag="Q4_K_M")
    await machine.pull("hf.co/u/r:Q4_K_M")
    assert hub.requests == []
    assert (
        machine.store.manifests.load(ModelName.parse("hf.co/u/r:Q4_K_M")).raw == (with_registry.manifests["u/r:Q4_K_M"])
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_the_registry_refuses_comes_as_files(
    status: int, with_registry: FakeRegistry, hub: FakeHub, machine: Machine
) -> None:
    hub.add("u/r", SHARDED)
    with_registry.faults["manifest"] = [Status(status, b'{"error":"The specified repository contains sharded GGUF."}')]
    steps = await machine.pull("hf.co/u/r:Q4_K_M")
    assert statuses(steps).count("pulling manifest") == 1 and statuses(steps)[-1] == "success"
    assert machine.library.spec(ModelName.parse("hf.co/u/r:Q4_K_M")).weights is not None


@pytest.mark.parametrize("status", [412, 429, 500, 503])
async def test_other_failures_of_the_registry_are_its_own(
    status: int, with_registry: FakeRegistry, hub: FakeHub, machine: Machine
) -> None:
    hub.add("u/r", PLAIN)
    with_registry.faults["manifest"] = [Status(status, b"why")] * 50
    assert await machine.refusal("hf.co/u/r") == f"{status}: why"
    assert hub.requests == []


async def test_without_the_hub_the_registry_has_the_last_word(
    with_registry: FakeRegistry, hub: FakeHub, machine: Machine
) -> None:
    with_registry.faults["manifest"] = [Status(400, b"sharded")]
    hub.faults["tree"] = [Replace(b"<html>")]
    assert await machine.refusal("hf.co/u/r") == "400: sharded"


async def test_a_revision_is_nothing_for_the_registry(
    with_registry: FakeRegistry, hub: FakeHub, machine: Machine
) -> None:
    hub.add("u/r", PLAIN, revision="v1")
    await machine.pull("hf.co/u/r@v1")
    assert with_registry.requests == []


async def test_a_failed_pull_leaves_the_model_as_it_was(hub: FakeHub, machine: Machine) -> None:
    with pytest.raises(ManifestNotFound):
        machine.layers("hf.co/u/r", MediaType.MODEL)
    hub.add("u/r", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    hub.add("u/r", {"m.gguf": b"GGUF but not really"})
    with pytest.raises(InvalidGGUF):
        await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]
