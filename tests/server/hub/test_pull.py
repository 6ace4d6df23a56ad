"""Models of the Hugging Face Hub that are made of its files."""

from __future__ import annotations

import pytest

from registry.digest import Digest
from registry.manifest import MediaType
from registry.names import ModelName
from tests.fakes.hub import FakeHub
from tests.server.hub.machine import OTHER, PLAIN, PROJECTOR, WHOLE, Machine, statuses

pytestmark = pytest.mark.anyio


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
