from __future__ import annotations

import hashlib
import json
import re

import pytest

from registry.errors import (
    BadAnswer,
    BlobNotFound,
    ManifestNotFound,
    RegistryRefused,
    RetriesExhausted,
    TransferError,
)
from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from registry.progress import Progress
from tests.fakes.faulty_http import Drop, Fault, Replace, Stall, Status
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import PART_BYTES, Site, statuses

pytestmark = pytest.mark.anyio

WEIGHTS = bytes(range(256)) * 13  # 3328 bytes: four parts
SMALL = WEIGHTS[:PART_BYTES]


def keep(site: Site, name: ModelName, *contents: bytes, from_name: str = "") -> ModelName:
    """A model in the store."""
    layers = [
        Layer(MediaType.MODEL, site.store.blobs.put_bytes(content)[0], len(content), from_name) for content in contents
    ]
    site.store.write_model(name, Manifest(None, tuple(layers)))
    return name


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


async def test_what_was_pushed_can_be_pulled(registry: FakeRegistry, site: Site) -> None:
    name = keep(site, registry.name("lib/m", "v1"), WEIGHTS, b"", b"small")
    steps = await site.push(name)
    assert statuses(steps) == [
        "retrieving manifest",
        *(f"pushing {digest(content)[7:19]}" for content in (WEIGHTS, b"", b"small")),
        "pushing manifest",
        "success",
    ]
    assert {WEIGHTS, b"", b"small"} <= set(registry.blobs.values())
    raw = site.store.manifests.load(name).raw
    site.store.delete_model(name)
    await site.pull(name)
    assert site.store.manifests.load(name).raw == raw.rstrip(b"\n")
    assert site.content(digest(WEIGHTS)) == WEIGHTS


async def test_the_manifest_is_written_anew(registry: FakeRegistry, site: Site) -> None:
    pretty = {"schemaVersion": 2, "extra": 1, "layers": None, "mediaType": "x"}
    name = registry.name("lib/m")
    site.store.write_model(name, json.dumps(pretty, indent=2).encode())
    await site.push(name)
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    assert (
        registry.manifests["lib/m:latest"]
        == (
            f'{{"schemaVersion":2,"mediaType":"{media_type}",'
            '"config":{"mediaType":"","digest":"","size":0},"layers":null}'
        ).encode()
    )
    assert registry.requests[-1].headers["Content-Type"] == media_type


async def test_requests_of_an_upload(registry: FakeRegistry, site: Site) -> None:
    await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    head, begin, *parts, commit, manifest = registry.requests
    assert [r.line.partition("?")[0] for r in (head, begin, commit, manifest)] == [
        f"HEAD /v2/lib/m/blobs/{digest(WEIGHTS)}",
        "POST /v2/lib/m/blobs/uploads/",
        "PUT /v2/lib/m/blobs/uploads/1",
        "PUT /v2/lib/m/manifests/latest",
    ]
    assert [r.headers["Content-Range"] for r in parts] == ["0-999", "1000-1999", "2000-2999", "3000-3327"]
    assert {r.headers["X-Redirect-Uploads"] for r in parts} == {"1"}
    assert {r.headers["Content-Type"] for r in (*parts, commit)} == {"application/octet-stream"}
    assert [r.headers["Content-Length"] for r in parts] == ["1000", "1000", "1000", "328"]
    sums = b"".join(hashlib.md5(WEIGHTS[at : at + 1000]).digest() for at in range(0, 3328, 1000))
    query = commit.path.partition("?")[2]
    escaped = digest(WEIGHTS).replace(":", "%3A")
    assert re.fullmatch(rf"state=\d+&digest={escaped}&etag={hashlib.md5(sums).hexdigest()}-4", query)


async def test_what_the_registry_has_is_reported_once(registry: FakeRegistry, site: Site) -> None:
    registry.add(WEIGHTS)
    steps = await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    assert steps[1] == Progress(f"pushing {digest(WEIGHTS)[7:19]}", digest(WEIGHTS), 3328, 3328)
    assert [r.method for r in registry.requests] == ["HEAD", "PUT"]


async def test_layers_of_another_model_are_mounted(registry: FakeRegistry, site: Site) -> None:
    registry.takes_mounts = True
    name = keep(site, registry.name("lib/m"), SMALL, from_name="me/base:7b")
    registry.faults["head"] = [Status(404)]
    registry.add(SMALL)
    steps = await site.push(name)
    escaped = digest(SMALL).replace(":", "%3A")
    assert registry.lines("POST") == [f"POST /v2/lib/m/blobs/uploads/?from=me%2Fbase&mount={escaped}"]
    assert registry.lines("PATCH") == []
    assert steps[-3].completed == len(SMALL)
    assert steps[-1] == Progress("success")


async def test_a_mount_that_is_declined_becomes_an_upload(registry: FakeRegistry, site: Site) -> None:
    await site.push(keep(site, registry.name("lib/m"), SMALL, from_name="base"))
    assert "from=library%2Fbase&mount=" in registry.lines("POST")[0]
    assert registry.blobs[digest(SMALL)] == SMALL


async def test_parts_may_be_redirected_to_a_host_that_is_told_nothing(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    registry.redirects_uploads = True
    await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    assert registry.blobs[digest(WEIGHTS)] == WEIGHTS
    stored = [request for request in registry.requests if request.path.startswith("/storage/")]
    assert sorted(len(request.body) for request in stored) == [328, 1000, 1000, 1000]
    assert not any("Authorization" in request.headers for request in stored)


@pytest.mark.parametrize("kind", ["part", "target", "commit"])
@pytest.mark.parametrize("fault", [Status(503), Drop(0), Drop(300), Stall(None)], ids=str)
async def test_a_step_that_fails_is_repeated(kind: str, fault: Fault, registry: FakeRegistry, site: Site) -> None:
    registry.redirects_uploads = kind == "target"
    registry.faults[kind] = [None, fault] if kind != "commit" else [fault]
    if kind != "target":
        registry.faults[kind].append(fault)
    await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    assert registry.blobs[digest(WEIGHTS)] == WEIGHTS
    assert site.sleeps == ([1.0] if kind == "target" else [1.0, 2.0])


async def test_a_part_is_continued_where_the_session_lacks_it(registry: FakeRegistry, site: Site) -> None:
    registry.faults["part"] = [None, Drop(300)]
    await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    assert registry.blobs[digest(WEIGHTS)] == WEIGHTS
    spans = [r.headers["Content-Range"] for r in registry.requests if r.method == "PATCH"]
    assert spans == ["0-999", "1300-1999", "2000-2999", "3000-3327"]
    sums = b"".join(hashlib.md5(WEIGHTS[at : at + 1000]).digest() for at in range(0, 3328, 1000))
    assert f"etag={hashlib.md5(sums).hexdigest()}-4" in registry.lines("PUT")[0]


async def test_a_commit_whose_answer_was_lost_is_found_done(registry: FakeRegistry, site: Site) -> None:
    name = keep(site, registry.name("lib/m"), SMALL)
    registry.faults["commit"] = [Status(500)]
    registry.faults["head"] = [Status(404)]
    registry.add(SMALL)  # what the commit did before it failed
    await site.push(name)
    assert site.sleeps == []


async def test_failures_come_to_an_end(registry: FakeRegistry, site: Site) -> None:
    registry.faults["part"] = [Status(500, b"kaboom")] * 9
    with pytest.raises(RetriesExhausted) as caught:
        await site.push(keep(site, registry.name("lib/m"), SMALL))
    assert str(caught.value) == "max retries exceeded: http status 500 Internal Server Error: kaboom"
    assert site.sleeps == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("kind", ["begin", "part", "commit", "manifest"])
async def test_a_refusal_is_final(kind: str, registry: FakeRegistry, site: Site) -> None:
    registry.faults[kind] = [Status(403, b"read only")]
    with pytest.raises(RegistryRefused, match=r"403.*: read only"):
        await site.push(keep(site, registry.name("lib/m"), SMALL))
    assert site.sleeps == []
    assert "lib/m:latest" not in registry.manifests


async def test_a_session_without_an_address_is_an_error(registry: FakeRegistry, site: Site) -> None:
    registry.faults["begin"] = [Replace(b"")]
    with pytest.raises(BadAnswer):
        await site.push(keep(site, registry.name("lib/m"), SMALL))


@pytest.mark.parametrize("auth", ["token", "basic"])
async def test_a_registry_that_asks_who_we_are_is_told(auth: str, registry: FakeRegistry, site: Site) -> None:
    registry.auth = auth
    if auth == "basic":
        folder = site.home / ".docker"
        folder.mkdir()
        (folder / "config.json").write_text(
            json.dumps({"auths": {registry.host: {"username": "user", "password": "secret"}}})
        )
    await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    assert registry.blobs[digest(WEIGHTS)] == WEIGHTS
    assert site.sleeps == []


async def test_a_token_that_expires_between_two_parts_is_renewed(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    challenge = f'Bearer realm="http://{registry.host}/token",service="s",scope="a"'
    registry.faults["part"] = [None, Status(401, b"", {"WWW-Authenticate": challenge})]
    await site.push(keep(site, registry.name("lib/m"), WEIGHTS))
    assert registry.blobs[digest(WEIGHTS)] == WEIGHTS
    assert site.sleeps == []


async def test_a_blob_that_is_corrupt_here_is_refused_there(registry: FakeRegistry, site: Site) -> None:
    name = keep(site, registry.name("lib/m"), SMALL)
    site.store.blobs.path(site.store.manifests.load(name).manifest.layers[0].digest).write_bytes(b"x" * 1000)
    with pytest.raises(RegistryRefused, match="DIGEST_INVALID"):
        await site.push(name)


async def test_what_is_not_here_is_not_pushed(registry: FakeRegistry, site: Site) -> None:
    heard: list[str] = []
    from registry.push import push

    with pytest.raises(ManifestNotFound):
        async for step in push(registry.name("lib/none"), registries=site.registries, store=site.store, insecure=True):
            heard.append(step.status)
    assert heard == ["retrieving manifest"]
    assert registry.requests == []
    name = keep(site, registry.name("lib/m"), SMALL)
    for file_name in site.blob_names():
        (site.store.blobs.directory / file_name).unlink()
    with pytest.raises(BlobNotFound):
        await site.push(name)


async def test_progress_never_goes_back(registry: FakeRegistry, site: Site) -> None:
    registry.faults["part"] = [Drop(500), Stall(None), Status(503)]
    steps = [step for step in await site.push(keep(site, registry.name("lib/m"), WEIGHTS)) if step.digest]
    assert [step.completed for step in steps] == sorted(step.completed for step in steps)
    assert steps[-1].completed == len(WEIGHTS)


async def test_errors_of_a_push_are_transfer_errors(site: Site) -> None:
    with FakeRegistry() as gone:
        name = gone.name("lib/m")
    with pytest.raises(TransferError, match="connection refused"):
        await site.push(keep(site, name, SMALL))
