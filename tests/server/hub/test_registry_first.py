"""The Hub's registry first, and its files where that refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from models.errors import InvalidGGUF
from registry.errors import ManifestNotFound
from registry.manifest import MediaType
from registry.names import ModelName
from tests.fakes.faulty_http import Replace, Status
from tests.fakes.hub import FakeHub
from tests.fakes.registry import FakeRegistry
from tests.server.hub.machine import PLAIN, SHARDED, WHOLE, Machine, statuses

pytestmark = pytest.mark.anyio


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
