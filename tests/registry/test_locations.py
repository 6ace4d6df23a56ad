"""Where the data of a blob are: redirects, addresses and tokens that expire, refusals."""

from __future__ import annotations

import pytest

from registry.digest import Digest
from registry.errors import AccessDenied, BadAnswer, NotInRegistry, RegistryRefused
from tests.fakes.faulty_http import Cut, Drop, Redirect, Replace, Status
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import Site
from tests.registry.transfer_case import SMALL, assert_fetched, prepare

pytestmark = pytest.mark.anyio


async def test_redirects_on_the_registrys_host_are_followed_to_another(registry: FakeRegistry, site: Site) -> None:
    name = prepare(registry, SMALL)
    digest = registry.add(SMALL)
    registry.has_storage = False
    inner = f"http://127.0.0.1:{registry.port}/v2/lib/m/blobs/{digest}?hop=1"
    outer = f"http://localhost:{registry.port}/v2/lib/m/blobs/{digest}?hop=2"
    registry.faults["blob"] = [Redirect(inner), Redirect(outer, 302)]
    await site.pull(name)
    assert [line.rpartition("?")[2] for line in registry.lines("GET")[-3:]][1:] == ["hop=1", "hop=2"]


async def test_redirects_without_end_are_an_error(registry: FakeRegistry, site: Site) -> None:
    registry.has_storage = False
    registry.faults["blob"] = [Redirect("?again")] * 1000
    with pytest.raises(BadAnswer, match="maximum redirects exceeded"):
        await site.pull(prepare(registry, SMALL))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://localhost/x", "mailto:x", "http://h:x/"])
async def test_redirects_to_what_is_not_http_are_refused(location: str, registry: FakeRegistry, site: Site) -> None:
    registry.has_storage = False
    registry.faults["blob"] = [Redirect(location)] * 6
    with pytest.raises(BadAnswer):
        await site.pull(prepare(registry, SMALL))
    assert Digest.of(SMALL).file_name not in site.blob_names()


async def test_an_address_that_expired_is_asked_for_again(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [Cut(400), Status(403, b"expired")]
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    located = [request for request in registry.requests if request.headers["Host"] == registry.host]
    assert len([request for request in located if request.method == "GET"]) == 1 + 3


async def test_bursts_of_failures_before_the_data_pass(registry: FakeRegistry, site: Site) -> None:
    registry.has_storage = False
    registry.faults["head"] = [Status(503), Drop(0), Status(429), Status(502)]
    registry.faults["blob"] = [Status(503)] * 4
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert all(pause < 1 for pause in site.sleeps)


async def test_a_registry_that_keeps_failing_is_given_up(registry: FakeRegistry, site: Site) -> None:
    registry.faults["head"] = [Status(503, b"busy")] * 1000
    with pytest.raises(RegistryRefused, match=r"^503: busy$|^503$"):
        await site.pull(prepare(registry, SMALL))
    assert 20 < site.now_s <= 30
    assert site.blob_names() == []


async def test_a_missing_blob_is_said_at_once(registry: FakeRegistry, site: Site) -> None:
    name = prepare(registry, SMALL)
    registry.blobs.clear()
    with pytest.raises(NotInRegistry, match=r"^file does not exist$"):
        await site.pull(name)
    assert site.sleeps == []
    assert site.blob_names() == []


async def test_a_blob_that_is_refused_is_not_asked_for_again_and_again(registry: FakeRegistry, site: Site) -> None:
    name = prepare(registry, SMALL)
    registry.has_storage = False
    registry.faults["blob"] = [Status(403, b"not yours")]
    with pytest.raises(RegistryRefused, match=r"^403: not yours$"):
        await site.pull(name)
    assert site.sleeps == []


async def test_a_token_that_expired_meanwhile_is_renewed(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    registry.has_storage = False
    name = prepare(registry, SMALL)
    registry.faults["blob"] = [None, Cut(500)]

    async for step in site.steps(name):
        if step.status == "pulling manifest":
            continue
        registry.token = "another"
    assert_fetched(site, SMALL)


async def test_a_token_that_never_satisfies_is_an_answer(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    name = prepare(registry, SMALL)
    registry.faults["token"] = [Replace(b'{"token":"wrong"}')] * 9
    with pytest.raises(Exception, match="unauthorized: access denied") as caught:
        await site.pull(name)
    assert isinstance(caught.value.reason, AccessDenied)  # type: ignore[attr-defined]
