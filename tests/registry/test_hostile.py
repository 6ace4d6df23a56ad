"""What a hostile registry may try. The canary beside the home, and the store's listing, show that it got nowhere.

Fixed defects of the original are named by their CVE, as far as one is known (registry-store-cli 11.2, 11.3).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.digest import Digest
from registry.errors import (
    BadAnswer,
    DownloadCorrupt,
    EmptyDigest,
    InvalidDigest,
    ManifestNotFound,
    ManifestUnavailable,
    RegistryError,
    RetriesExhausted,
    StoreUnusable,
    UntrustedRealm,
)
from registry.names import ModelName
from tests.fakes.faulty_http import Drop, NoLength, NoRange, Redirect, Replace, Status, Trickle
from tests.fakes.registry import LAYER_TYPE, FakeRegistry
from tests.registry.conftest import Site

pytestmark = pytest.mark.anyio

HEX = "ab" * 32
TRAVERSALS = [
    "../../../../canary",
    "sha256:../../../../canary",
    "sha256-../../../../canary",
    "sha256:" + "../" * 20 + "canary",
    f"sha256:{HEX}/../../../../canary",
    f"sha256:{HEX}\n",
    f"sha256:{HEX}\x00",
    f" sha256:{HEX}",
    f"sha256:{HEX[:-1]}/",
    f"sha256:{HEX[:-1]}\u0663",
    "/etc/passwd",
    "sha256:" + "." * 64,
    "sha256:" + "/" * 64,
    f"sha512:{HEX}",
    "sha256:",
    "x" * 100_000,
]


CANARY_FROM_BLOBS = "../../../../canary"


def spoil_partial(site: Site, digest: str, ending: str, spoil: Callable[[Path], None]) -> Path:
    """Put something in the place of an unfinished file; returns the path of the blob."""
    blob = site.store.blobs.path(Digest.parse(digest))
    blob.parent.mkdir(parents=True)
    spoil(blob.with_name(blob.name + ending))
    return blob


def files(site: Site) -> list[str]:
    """Every file below the home but the lock's."""
    found = (
        os.path.relpath(os.path.join(top, name), site.home) for top, _, names in os.walk(site.home) for name in names
    )
    return sorted(path for path in found if ".puna" not in path)


# -- CVE-2024-37032 (digests become paths), CVE-2026-7020 (the same for tensors) --------------------------------------


@pytest.mark.parametrize("digest", TRAVERSALS, ids=lambda text: repr(text)[:30])
@pytest.mark.parametrize("kind", ["model", "tensor", "config"])
async def test_a_digest_that_is_a_path_reaches_no_path(
    digest: str, kind: str, registry: FakeRegistry, site: Site
) -> None:
    layer = {"mediaType": LAYER_TYPE + kind, "digest": digest, "size": 18, "name": "../../canary"}
    good = registry.layer("license", b"good")
    parts: dict[str, Any] = {"config": layer} if kind == "config" else {}
    name = registry.add_manifest("lib/m", [good] if parts else [good, layer], **parts)
    with pytest.raises(RegistryError) as caught:
        await site.pull(name)
    assert isinstance(caught.value, InvalidDigest | ManifestUnavailable)
    assert [r.line for r in registry.requests] == ["GET /v2/lib/m/manifests/latest"]
    assert files(site) == []


# -- CVE-2025-1975 and its kin (an empty or malformed manifest ends the process) --------------------------------------


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        ({"layers": [{"digest": ""}]}, EmptyDigest),
        ({"layers": [{}]}, EmptyDigest),
        ({"layers": [None]}, ManifestUnavailable),
        ({"layers": [[]]}, ManifestUnavailable),
        ({"layers": {}}, ManifestUnavailable),
        ({"layers": "x"}, ManifestUnavailable),
        ({"layers": [{"digest": 5}]}, ManifestUnavailable),
        ({"layers": [{"digest": f"sha256:{HEX}", "size": -1}]}, ManifestUnavailable),
        ({"layers": [{"digest": f"sha256:{HEX}", "size": 2**63}]}, ManifestUnavailable),
        ({"layers": [{"digest": f"sha256:{HEX}", "size": 1.5}]}, ManifestUnavailable),
        ({"layers": [{"digest": f"sha256:{HEX}", "size": "5"}]}, ManifestUnavailable),
        ({"layers": [{"digest": f"sha256:{HEX}", "size": True}]}, ManifestUnavailable),
        ({"config": [], "layers": []}, ManifestUnavailable),
        ([], ManifestUnavailable),
        (None, ManifestUnavailable),
        ("x", ManifestUnavailable),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_manifest_of_wrong_types_is_refused(
    manifest: object, kind: type[Exception], registry: FakeRegistry, site: Site
) -> None:
    with pytest.raises(kind):
        await site.pull(registry.add_raw("lib/m", json.dumps(manifest).encode()))
    assert len(registry.requests) == 1
    assert files(site) == []


@pytest.mark.parametrize(
    "raw",
    [
        b'{"layers":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"layers":[{"digest":"sha256:' + HEX.encode() + b'","size":' + b"9" * 5000 + b"}]}",
        b'{"layers":[],"x":1e999999}',
        b'{"layers":NaN}',
        b"\xff\xfe{}",
        b"\x00" * 1000,
    ],
    ids=["lists", "objects", "long number", "huge exponent", "NaN", "UTF-16", "zeros"],
)
async def test_a_manifest_that_strains_the_decoder_is_an_error_or_a_manifest(
    raw: bytes, registry: FakeRegistry, site: Site
) -> None:
    name = registry.add_raw("lib/m", raw)
    try:
        await site.pull(name)
    except ManifestUnavailable:
        assert files(site) == []
    else:
        assert site.store.manifests.load(name).raw == raw


# -- CVE-2024-12886 and its kin (answers without end, compression bombs) ----------------------------------------------


def bomb() -> bytes:
    return gzip.compress(bytes(200 << 20), 1)


@pytest.fixture(scope="module")
def packed() -> bytes:
    return bomb()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_manifest_that_unpacks_to_any_size_is_not_unpacked(
    packed: bytes, registry: FakeRegistry, site: Site
) -> None:
    registry.faults["manifest"] = [Replace(packed, {"Content-Encoding": "gzip"})]
    before = peak_bytes()
    with pytest.raises(ManifestUnavailable, match="unexpected content encoding gzip"):
        await site.pull(registry.add_model("lib/m", {}))
    assert peak_bytes() - before < 50 << 20


async def test_a_blob_that_unpacks_to_any_size_is_not_unpacked(
    packed: bytes, registry: FakeRegistry, site: Site
) -> None:
    name = registry.add_model("lib/m", {"model": b"x" * 50})
    registry.faults["blob"] = [Replace(packed, {"Content-Encoding": "gzip"})] * 10
    before = peak_bytes()
    with pytest.raises(RetriesExhausted, match="unexpected content encoding gzip"):
        await site.pull(name)
    assert peak_bytes() - before < 50 << 20


async def test_a_token_that_unpacks_to_any_size_is_not_unpacked(
    packed: bytes, registry: FakeRegistry, site: Site
) -> None:
    registry.auth = "token"
    registry.faults["token"] = [Replace(packed, {"Content-Encoding": "gzip"})]
    with pytest.raises(ManifestUnavailable, match="unexpected content encoding gzip"):
        await site.pull(registry.add_model("lib/m", {}))


@pytest.mark.parametrize("kind", ["manifest", "token"])
async def test_an_answer_without_end_is_left(kind: str, registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token" if kind == "token" else None
    registry.faults[kind] = [Replace(b" " * (30 << 20))]
    with pytest.raises(ManifestUnavailable, match="the answer has more than"):
        await site.pull(registry.add_model("lib/m", {}))


async def test_a_refusal_without_end_is_cut(registry: FakeRegistry, site: Site) -> None:
    registry.faults["manifest"] = [Status(500, b"x" * (30 << 20))]
    with pytest.raises(ManifestUnavailable) as caught:
        await site.pull(registry.add_model("lib/m", {}))
    assert len(str(caught.value)) < 70_000


async def test_a_blob_longer_than_promised_is_not_stored(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {"model": b"x" * 50})
    registry.faults["blob"] = [Status(206, b"x" * 100_000, {"Content-Range": "bytes 0-49/50"}), NoRange()]
    await site.pull(name)
    assert site.content(registry.add(b"x" * 50)) == b"x" * 50


async def test_more_redirects_than_anybody_needs_are_an_error(registry: FakeRegistry, site: Site) -> None:
    registry.faults["manifest"] = [Redirect("latest")] * 50
    with pytest.raises(ManifestUnavailable, match="stopped after 10 redirects"):
        await site.pull(registry.add_model("lib/m", {}))


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**50])
@pytest.mark.parametrize("says", [NoLength(), None])
async def test_a_blob_of_absurd_size_takes_neither_disk_nor_memory(
    size: int, says: NoLength | None, registry: FakeRegistry, site: Site
) -> None:
    layer = {**registry.layer("model", b"x"), "size": size}
    registry.faults["head"] = [says]
    with pytest.raises((StoreUnusable, BadAnswer)):
        await site.pull(registry.add_manifest("lib/m", [layer], config=None))
    assert files(site) == []


@pytest.mark.parametrize("length", ["99999999999999999999999", "-5", "x", "4611686018427387904"])
async def test_a_length_that_is_none_is_not_believed(length: str, registry: FakeRegistry, site: Site) -> None:
    layer = {**registry.layer("model", b"x"), "size": 0}
    registry.faults["head"] = [Status(200, b"", {"Content-Length": length})] * 1000
    with pytest.raises(RegistryError):
        await site.pull(registry.add_manifest("lib/m", [layer], config=None))
    assert not [file for file in files(site) if "partial" in file]


# -- content ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [[NoRange()] * 9, [Trickle(3)] * 9, [Drop(7)] * 3], ids=["whole", "trickle", "drop"])
async def test_wrong_content_never_gets_the_blobs_name(faults: list[Any], registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {"model": b"true content"})
    digest = registry.add(b"true content")
    registry.blobs[digest] = b"evil content"
    registry.faults["blob"] = faults
    with pytest.raises(DownloadCorrupt):
        await site.pull(name)
    assert files(site) == []
    with pytest.raises(ManifestNotFound):
        site.store.manifests.load(name)


async def test_content_that_changes_on_the_way_is_found_out(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {"model": b"0123456789"})
    digest = registry.add(b"0123456789")
    registry.faults["blob"] = [Status(206, b"01234", {"Content-Range": "bytes 0-4/10"})]
    registry.blobs[digest] = b"98765abcde"
    with pytest.raises(DownloadCorrupt):
        await site.pull(name)
    registry.blobs[digest] = b"0123456789"
    await site.pull(name)
    assert site.content(digest) == b"0123456789"


async def test_a_link_in_place_of_an_unfinished_file_is_not_followed(registry: FakeRegistry, site: Site) -> None:
    """Whoever may write the store could point it anywhere; a download does not go there."""
    name = registry.add_model("lib/m", {"model": b"content"})
    spoil_partial(site, registry.add(b"content"), "-partial", lambda path: path.symlink_to(CANARY_FROM_BLOBS))
    with pytest.raises(StoreUnusable):
        await site.pull(name)


async def test_a_blob_named_like_another_is_no_way_around_the_hash(registry: FakeRegistry, site: Site) -> None:
    """Two spellings of one digest are two files; each has to be the content."""
    name = registry.add_model("lib/m", {"model": b"content"})
    upper = "sha256:" + hashlib.sha256(b"content").hexdigest().upper()
    registry.add_manifest("lib/m", [{"mediaType": LAYER_TYPE + "model", "digest": upper, "size": 7}], config=None)
    with pytest.raises(RegistryError):  # the fake registry knows the lower case alone
        await site.pull(name)
    assert files(site) == []


# -- CVE-2025-51471 (a token for a foreign realm), and credentials on the way -----------------------------------------


async def test_a_foreign_realm_gets_no_signature(registry: FakeRegistry, site: Site) -> None:
    with FakeRegistry() as thief:
        registry.auth = "token"
        registry.realm = f"http://{thief.host}/token"
        with pytest.raises(ManifestUnavailable) as caught:
            await site.pull(registry.add_model("lib/m", {}))
        assert isinstance(caught.value.reason, UntrustedRealm)
        assert thief.requests == []


async def test_a_redirect_to_another_host_takes_no_credentials_along(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    with FakeRegistry() as thief:
        name = registry.add_model("lib/m", {"model": b"content"})
        thief.blobs.update(registry.blobs)
        thief.manifests.update(registry.manifests)
        registry.faults["manifest"] = [Redirect(f"http://localhost:{thief.port}/v2/lib/m/manifests/latest")]
        await site.pull(name)
        assert thief.requests
        assert not any("Authorization" in request.headers for request in thief.requests)


async def test_a_host_behind_a_redirect_cannot_ask_who_we_are(registry: FakeRegistry, site: Site) -> None:
    with FakeRegistry() as thief:
        thief.auth = "token"
        name = registry.add_model("lib/m", {"model": b"content"})
        registry.faults["manifest"] = [Redirect(f"http://{thief.host}/v2/lib/m/manifests/latest")]
        with pytest.raises(ManifestUnavailable, match="401"):
            await site.pull(name)
        assert [request.line for request in thief.requests] == ["GET /v2/lib/m/manifests/latest"]


async def test_an_upload_session_on_another_host_takes_no_credentials_along(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    name = registry.add_model("lib/m", {"model": b"content"})
    await site.pull(name)
    registry.blobs.clear()
    with FakeRegistry() as thief:
        where = {"Location": f"http://localhost:{thief.port}/v2/lib/m/blobs/uploads/1"}
        registry.faults["begin"] = [Status(202, b"", where)]
        with pytest.raises(RegistryError):
            await site.push(name)
        assert thief.requests
        assert not any("Authorization" in request.headers for request in thief.requests)


async def test_cookies_are_not_kept(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_model("lib/m", {})
    registry.faults["manifest"] = [Status(200, registry.manifests["lib/m:latest"], {"Set-Cookie": "id=1; Path=/"})]
    await site.pull(name)
    await site.pull(name)
    assert not any("Cookie" in request.headers for request in registry.requests)


# -- CVE-2024-39719, CVE-2024-39722 (a push tells which files exist) --------------------------------------------------


@pytest.mark.parametrize(
    "text", ["../../../../canary", "h/../m", "h/n/..", "h/n/m:..", "h/n/m:../canary", "/h/n/m", "h/n/m\x00"]
)
def test_a_name_that_is_a_path_is_no_name(text: str) -> None:
    with pytest.raises(RegistryError):
        ModelName.parse(text)


# -- other processes of this user -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(CANARY_FROM_BLOBS),
        lambda path: path.write_bytes(b"9" * 100_000),
    ],
    ids=["directory", "pipe", "device", "link", "long"],
)
async def test_a_record_that_is_no_file_does_not_hold_a_pull(
    spoil: Callable[[Path], None], registry: FakeRegistry, site: Site
) -> None:
    name = registry.add_model("lib/m", {"model": b"content"})
    blob = spoil_partial(site, registry.add(b"content"), "-partial-0", spoil)
    try:
        await site.pull(name)
    except StoreUnusable:
        assert not blob.exists()
    else:
        assert blob.read_bytes() == b"content"
