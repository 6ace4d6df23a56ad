"""Several pulls of the same content in one server."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from registry.errors import RetriesExhausted
from registry.progress import Progress
from tests.fakes.faulty_http import Stall, Status, Trickle
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import Site, collected, left_tasks, statuses

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(250)) * 4


def add_two(registry: FakeRegistry) -> tuple[str, str]:
    layer = registry.layer("model", CONTENT)
    for repository in ("lib/a", "lib/b"):
        registry.add_manifest(repository, [layer], config=None)
    return "lib/a", "lib/b"


async def under_way(site: Site, registry: FakeRegistry, repository: str) -> tuple[asyncio.Task[None], list[Progress]]:
    """A pull in a task, and what it has heard: the first of the data."""
    heard: list[Progress] = []
    begun = asyncio.Event()

    async def run() -> None:
        async with aclosing(site.steps(registry.name(repository))) as steps:
            async for step in steps:
                heard.append(step)
                if step.completed:
                    begun.set()

    task = asyncio.create_task(run())
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task, heard


async def test_two_pulls_of_one_blob_download_it_once_and_both_see_it_come(registry: FakeRegistry, site: Site) -> None:
    a, b = add_two(registry)
    registry.faults["blob"] = [Trickle(20, 0.005)]
    first, heard_first = await under_way(site, registry, a)
    second, heard_second = await under_way(site, registry, b)
    await asyncio.gather(first, second)
    assert registry.sent_bytes == len(CONTENT)
    for heard in (heard_first, heard_second):
        assert statuses(heard)[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
        completed = [step.completed for step in heard if step.digest]
        assert completed == sorted(completed)
        assert 0 < completed[1] < completed[-1] == len(CONTENT)
    assert len(site.store.manifests.list()) == 2


@pytest.mark.parametrize("leaver", [0, 1])
async def test_one_of_two_may_leave(leaver: int, registry: FakeRegistry, site: Site) -> None:
    a, b = add_two(registry)
    registry.faults["blob"] = [Trickle(20, 0.005)]
    pulls = [await under_way(site, registry, a), await under_way(site, registry, b)]
    gone, stays = pulls[leaver], pulls[1 - leaver]
    gone[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone[0]
    await stays[0]
    assert stays[1][-1] == Progress("success")
    assert registry.sent_bytes == len(CONTENT)
    assert len(site.store.manifests.list()) == 1


async def test_the_download_ends_with_the_last_who_waits_and_is_resumed(registry: FakeRegistry, site: Site) -> None:
    a, b = add_two(registry)
    registry.faults["blob"] = [Trickle(20, 0.005)]
    before = asyncio.all_tasks()
    pulls = [await under_way(site, registry, a), await under_way(site, registry, b)]
    for task, _ in pulls:
        task.cancel()
    await asyncio.gather(*(task for task, _ in pulls), return_exceptions=True)
    assert await left_tasks(before) == set()
    assert len(site.blob_names()) == 2
    steps = await site.pull(registry.name(a))
    assert len(site.blob_names()) == 1
    asked = [request.headers["Range"] for request in registry.requests if "Range" in request.headers]
    assert int(asked[-1][6:].partition("-")[0]) > 0
    assert next(step.completed for step in steps if step.digest) > 0


async def test_somebody_elses_failure_is_not_ours(registry: FakeRegistry, site: Site) -> None:
    """The one who began it has a registry that breaks; the one who joined goes on with its own."""
    a, b = add_two(registry)
    with FakeRegistry() as broken:
        broken.manifests.update(registry.manifests)
        broken.blobs.update(registry.blobs)
        broken.faults["blob"] = [Stall(100), *[Status(500)] * 6]
        first = asyncio.create_task(site.pull(broken.name(a)))
        await asyncio.wait([first], timeout=0.06)
        second = asyncio.create_task(site.pull(registry.name(b)))
        results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], RetriesExhausted)
    assert isinstance(results[1], list)
    assert results[1][-1] == Progress("success")
    assert registry.sent_bytes == len(CONTENT) - 100
    assert len(site.blob_names()) == 1


async def test_a_failure_reaches_everybody_once(registry: FakeRegistry, site: Site) -> None:
    a, b = add_two(registry)
    registry.faults["blob"] = [Status(500)] * 100
    heard: list[Progress] = []
    results = await asyncio.gather(
        collected(site.steps(registry.name(a)), heard), site.pull(registry.name(b)), return_exceptions=True
    )
    assert [type(result) for result in results] == [RetriesExhausted, RetriesExhausted]
    assert heard[0] == Progress("pulling manifest")


async def test_many_pulls_at_once(registry: FakeRegistry, site: Site) -> None:
    shared = registry.layer("model", CONTENT)
    names = [registry.add_manifest(f"lib/m{n}", [shared, registry.layer("system", b"%d" % n)]) for n in range(20)]
    results = await asyncio.gather(*(site.pull(name) for name in names))
    assert all(steps[-1] == Progress("success") for steps in results)
    assert len(site.store.manifests.list()) == 20
    assert len(site.blob_names()) == 22
    assert len([line for line in registry.lines("HEAD") if shared["digest"] in line]) == 1
