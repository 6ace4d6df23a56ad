from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.errors import (
    DownloadCorrupt,
    EmptyDigest,
    InvalidDigest,
    ManifestUnavailable,
    NeedsMLX,
    NotInRegistry,
    RegistryError,
    StoreUnusable,
)
from registry.names import ModelName
from registry.progress import Progress
from tests.fakes.faulty_http import Replace, Status
from tests.fakes.registry import CONFIG_TYPE, FakeRegistry
from tests.registry.conftest import Site, collected, statuses

pytestmark = pytest.mark.anyio

MODEL = {"model": b"weights" * 500, "license": b"as is"}


def pulling(registry: FakeRegistry, *contents: bytes) -> list[str]:
    return [f"pulling {registry.add(content)[7:19]}" for content in contents]


async def test_a_pull_brings_every_blob_and_the_manifest_as_it_came(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL)
    steps = await site.pull(name)
    stored = site.store.manifests.load(name)
    assert stored.raw == registry.manifests["lib/m:latest"]
    assert {str(digest): site.content(str(digest)) for digest in stored.manifest.digests} == registry.blobs
    assert len(site.blob_names()) == 3
    assert steps[0] == Progress("pulling manifest")
    assert steps[-3:] == [Progress("verifying sha256 digest"), Progress("writing manifest"), Progress("success")]


async def test_layers_come_in_the_manifests_order_and_the_config_last(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL)
    config = str(registry.config()["digest"])
    order = [*pulling(registry, *MODEL.values()), f"pulling {config[7:19]}"]
    assert statuses(await site.pull(name))[1:-3] == order


async def test_a_layers_last_event_is_complete(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL)
    digest = registry.add(MODEL["model"])
    last = [step for step in await site.pull(name) if step.digest == digest][-1]
    assert last == Progress(f"pulling {digest[7:19]}", digest, 3500, 3500)


async def test_what_is_here_is_reported_once_and_not_fetched_again(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL)
    await site.pull(name)
    registry.requests.clear()
    steps = await site.pull(name)
    assert registry.lines() == ["GET /v2/lib/m/manifests/latest"]
    assert [(step.total, step.completed) for step in steps if step.digest] == [(3500, 3500), (5, 5), (48, 48)]
    assert statuses(steps)[-3:] == ["verifying sha256 digest", "writing manifest", "success"]


async def test_requests_look_like_the_originals(registry: FakeRegistry, site: Site) -> None:
    await site.pull(registry.add_model("lib/m", {}))
    manifest, head, locate, data = registry.requests
    config = f"/v2/lib/m/blobs/{registry.config()['digest']}"
    assert [request.line for request in (manifest, head, locate, data)] == [
        "GET /v2/lib/m/manifests/latest",
        f"HEAD {config}",
        f"GET {config}",
        f"GET {config}",
    ]
    assert manifest.headers["Accept"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert all(request.headers["User-Agent"].startswith("ollama/0.33.0 (") for request in registry.requests)
    assert all(request.headers["Accept-Encoding"] == "identity" for request in registry.requests)
    assert not any("Accept" in request.headers or "Cookie" in request.headers for request in (head, locate, data))
    assert "Range" not in locate.headers
    assert data.headers["Range"] == "bytes=0-47"
    assert data.headers["Host"].startswith("localhost:")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Status(404), "file does not exist"),
        (Status(500, b"kaboom"), "500: kaboom"),
        (Status(412, b'{"errors":[]}'), '412: {"errors":[]}'),
        (Status(403), "403"),
        (Replace(b"<html>"), "invalid character '<' looking for beginning of value"),
        (Replace(b""), "unexpected end of JSON input"),
        (Replace(b'{"layers":['), "unexpected end of JSON input"),
        (Replace(b'{"a" 1}'), "invalid character '1' after object key"),
        (Replace(b"{}x"), "invalid character 'x' after top-level value"),
        (Replace(b"[" * 100_000), "exceeded max depth"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_manifest_that_does_not_come_ends_the_pull(
    answer: Status | Replace, text: str, registry: FakeRegistry, site: Site
) -> None:
    name = registry.add_model("lib/m", MODEL)
    registry.faults["manifest"] = [answer]
    heard: list[Progress] = []
    with pytest.raises(ManifestUnavailable) as caught:
        await collected(site.steps(name), heard)
    assert str(caught.value) == f"pull model manifest: {text}"
    assert heard == [Progress("pulling manifest")]
    assert site.sleeps == []
    assert len(registry.requests) == 1


async def test_an_unknown_model_is_said_in_the_words_that_clients_know(registry: FakeRegistry, site: Site) -> None:
    with pytest.raises(ManifestUnavailable, match=r"^pull model manifest: file does not exist$") as caught:
        await site.pull(registry.name("lib/none"))
    assert isinstance(caught.value.reason, NotInRegistry)


async def test_names_are_asked_for_over_tls_unless_insecure(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL)
    with pytest.raises(ManifestUnavailable) as caught:
        await site.pull(name, insecure=False)
    url = f"https://{registry.host}/v2/lib/m/manifests/latest"
    reason = "tls: first record does not look like a TLS handshake"
    assert str(caught.value) == f'pull model manifest: Get "{url}": {reason}'


async def test_a_registry_that_is_not_there_is_named(site: Site) -> None:
    with FakeRegistry() as gone:
        name = gone.name("lib/m")
    with pytest.raises(ManifestUnavailable) as caught:
        await site.pull(name)
    url = f"http://{name.host}/v2/lib/m/manifests/latest"
    assert str(caught.value) == f'pull model manifest: Get "{url}": dial tcp {name.host}: connect: connection refused'


@pytest.mark.parametrize("host", ["a:b:c", "127.0.0.1:99999", "::", "_", "a..b"])
async def test_hosts_that_are_none_are_errors_of_the_pull(host: str, site: Site) -> None:
    try:
        name = ModelName.parse(f"{host}/lib/m")
    except RegistryError:
        return
    with pytest.raises(ManifestUnavailable):
        await site.pull(name)


async def test_layers_that_only_the_old_version_had_are_removed(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {"model": b"w", "template": b"old", "system": b"shared"})
    await site.pull(name)
    await site.pull(registry.add_model("lib/other", {"system": b"shared"}))
    registry.add_model("lib/m", {"model": b"w", "template": b"new"})
    steps = await site.pull(name)
    assert statuses(steps)[-4:] == [
        "verifying sha256 digest",
        "writing manifest",
        "removing unused layers",
        "success",
    ]
    assert {site.content(n) for n in site.blob_names()} >= {b"w", b"new", b"shared"}
    assert b"old" not in {site.content(n) for n in site.blob_names()}


async def test_without_pruning_old_layers_stay(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {"template": b"old"})
    await site.pull(name)
    registry.add_model("lib/m", {"template": b"new"})
    steps = await site.pull(name, prune=False)
    assert "removing unused layers" not in statuses(steps)
    assert {site.content(n) for n in site.blob_names()} >= {b"old", b"new"}


async def test_layers_that_cannot_be_removed_do_not_fail_the_pull(
    registry: FakeRegistry, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = registry.add_model("lib/m", {"template": b"old"})
    await site.pull(name)
    registry.add_model("lib/m", {"template": b"new"})

    def refuse(*_: object, **__: object) -> None:
        raise StoreUnusable("remove x: read-only file system")

    monkeypatch.setattr(site.store, "remove_unused", refuse)
    assert statuses(await site.pull(name))[-2:] == [
        "couldn't remove unused layers: remove x: read-only file system",
        "success",
    ]


async def test_content_that_is_not_what_the_manifest_says_leaves_the_old_model(
    registry: FakeRegistry, site: Site
) -> None:
    name = registry.add_model("lib/m", {"system": b"old"})
    await site.pull(name)
    before = site.store.manifests.load(name).raw
    registry.add_model("lib/m", {"system": b"expected text"})
    digest = registry.add(b"expected text")
    registry.blobs[digest] = b"tampered text"
    tampered = registry.add(b"tampered text")
    heard: list[Progress] = []
    with pytest.raises(DownloadCorrupt) as caught:
        await collected(site.steps(name), heard)
    want = f"digest mismatch, file must be downloaded again: want {digest}, got {tampered}"
    assert str(caught.value) == want
    assert statuses(heard)[-1] == "verifying sha256 digest"
    assert site.store.manifests.load(name).raw == before
    assert not [file for file in site.blob_names() if digest[7:] in file]


async def test_a_repeated_layer_is_fetched_once(registry: FakeRegistry, site: Site) -> None:
    layer = registry.layer("license", b"twice")
    name = registry.add_manifest("lib/m", [layer, layer])
    await site.pull(name)
    assert len([line for line in registry.lines("HEAD") if layer["digest"] in line]) == 1
    assert len(site.store.manifests.load(name).manifest.layers) == 2


async def test_a_config_with_the_digest_of_a_layer_is_verified_too(registry: FakeRegistry, site: Site) -> None:
    layer = registry.layer("license", b"both")
    registry.blobs[layer["digest"]] = b"evil"
    name = registry.add_manifest("lib/m", [layer], config={**layer, "mediaType": CONFIG_TYPE})
    with pytest.raises(DownloadCorrupt):
        await site.pull(name)


async def test_models_of_single_tensors_are_refused_before_anything_is_fetched(
    registry: FakeRegistry, site: Site
) -> None:
    name = registry.add_model("lib/m", {"tensor": b"t"})
    with pytest.raises(NeedsMLX) as caught:
        await site.pull(name)
    assert str(caught.value) == "this model requires MLX support, but the MLX runtime is not available"
    assert len(registry.requests) == 1


async def test_digests_are_checked_before_anything_is_fetched(registry: FakeRegistry, site: Site) -> None:
    good = registry.layer("model", b"good")
    for digest, kind, text in [
        ("", EmptyDigest, "lib/m: digest is empty"),
        (None, EmptyDigest, "lib/m: digest is empty"),
        ("sha256:12", InvalidDigest, "invalid digest format"),
        ("sha512:" + "0" * 64, InvalidDigest, "invalid digest format"),
        ("../" * 20 + "canary", InvalidDigest, "invalid digest format"),
    ]:
        name = registry.add_manifest("lib/m", [good, {"mediaType": "x", "digest": digest, "size": 1}])
        registry.requests.clear()
        with pytest.raises(kind) as caught:
            await site.pull(name)
        assert str(caught.value) == text
        assert len(registry.requests) == 1
    assert site.blob_names() == []


async def test_a_manifest_may_lack_config_and_layers(registry: FakeRegistry, site: Site) -> None:
    for raw in (b"{}", b'{"layers":null}', b'{"config":{"digest":""},"layers":[]}'):
        name = registry.add_raw("lib/m", raw)
        assert statuses(await site.pull(name))[-1] == "success"
        assert site.store.manifests.load(name).raw == raw


async def test_a_blob_that_was_cut_short_is_fetched_again(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL)
    await site.pull(name)
    digest = registry.add(MODEL["model"])
    path = site.store.blobs.directory / digest.replace(":", "-")
    path.write_bytes(b"weig")
    await site.pull(name)
    assert path.read_bytes() == MODEL["model"]


async def test_an_empty_layer_is_a_layer(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {"system": b""})
    assert statuses(await site.pull(name))[-1] == "success"
    assert site.content(registry.add(b"")) == b""


async def test_the_store_keeps_its_spelling(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/some-model", MODEL)
    await site.pull(name)
    await site.pull(registry.add_model("LIB/Some-Model", MODEL))
    assert [stored.name for stored in site.store.manifests.list()] == [name]


async def test_a_tag_is_part_of_the_address(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", MODEL, tag="7b-q4_K_M")
    await site.pull(name)
    assert registry.lines()[0] == "GET /v2/lib/m/manifests/7b-q4_K_M"
    assert (site.store.manifests.directory / registry.host / "lib" / "m" / "7b-q4_K_M").exists()


async def test_unknown_members_and_media_types_are_kept(registry: FakeRegistry, site: Site) -> None:
    layer = {**registry.layer("model", b"w"), "mediaType": "application/x-new", "annotations": {"a": 1}}
    name = registry.add_manifest("lib/m", [layer], newer=[1, 2])
    await site.pull(name)
    assert json.loads(site.store.manifests.load(name).raw)["layers"] == [layer]
    assert site.content(layer["digest"]) == b"w"


async def test_a_store_that_cannot_be_written_is_said(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / ".ollama").write_text("a file where a directory should be")
    site = Site(tmp_path)
    with pytest.raises(StoreUnusable, match="not a directory"):
        await site.pull(registry.add_model("lib/m", MODEL))
    await site.registries.close()
