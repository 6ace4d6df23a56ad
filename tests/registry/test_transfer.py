"""One blob on its way: its parts on disk, its size, its progress."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from registry.errors import BadAnswer, RetriesExhausted, StoreUnusable
from registry.pace import Pace
from registry.partial import Part
from tests.fakes.faulty_http import Cut, Drop, NoLength, Stall, Trickle, WrongRange
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import PART_BYTES, Site, left_tasks
from tests.registry.transfer_case import SMALL, WHOLE, assert_fetched, leave_partial, partial, prepare, ranges

pytestmark = pytest.mark.anyio


# -- parts ------------------------------------------------------------------------------------------------------------


async def test_a_large_blob_comes_in_parts(registry: FakeRegistry, site: Site) -> None:
    await site.pull(prepare(registry))
    assert_fetched(site, WHOLE)
    expected = [f"bytes={n * 1000}-{n * 1000 + 999}" for n in range(12)] + ["bytes=12000-12344"]
    assert sorted(ranges(registry)) == sorted(expected)
    assert len(registry.lines("HEAD")) == 1


async def test_no_more_streams_than_allowed_are_open_at_once(registry: FakeRegistry, tmp_path: Path) -> None:
    site = Site(tmp_path, Pace(part_bytes=PART_BYTES, n_streams=3, n_streams_at_once=1), stall_s=60)
    registry.faults["blob"] = [Stall(0)] * 13
    task = asyncio.create_task(site.pull(prepare(registry)))
    for _ in range(1000):
        await asyncio.sleep(0.005)
        if len(ranges(registry)) >= 3:
            break
    await asyncio.sleep(0.02)
    assert len(ranges(registry)) == 3
    assert sorted(site.sleeps) == [0.5, 1.0]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await site.registries.close()


async def test_the_state_on_disk_is_the_originals(registry: FakeRegistry, site: Site) -> None:
    name = prepare(registry)
    registry.faults["blob"] = [Cut(100)] * 200
    with pytest.raises(RetriesExhausted):
        await site.pull(name)
    path = partial(site)
    records = sorted(site.store.blobs.directory.glob(f"{path.name}-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))
    assert [record.name for record in records] == [f"{path.name}-{n}" for n in range(13)]
    assert path.stat().st_size == len(WHOLE)
    for n, record in enumerate(records):
        text = record.read_text()
        fields = json.loads(text)
        size = 345 if n == 12 else 1000
        completed = fields["Completed"]
        assert text == f'{{"N":{n},"Offset":{n * 1000},"Size":{size},"Completed":{completed}}}\n'
        assert path.read_bytes()[n * 1000 : n * 1000 + completed] == WHOLE[n * 1000 : n * 1000 + completed]


async def test_what_the_original_began_is_continued(registry: FakeRegistry, site: Site) -> None:
    """Its parts are of another size, and from the eleventh on their names sort before the second's."""
    parts = [Part(n, n * 900, min(900, len(WHOLE) - n * 900), 0) for n in range(14)]
    for part in parts:
        part.completed_bytes = part.size_bytes if part.n % 2 else part.n * 20
    leave_partial(site, WHOLE, parts)
    await site.pull(prepare(registry))
    assert_fetched(site, WHOLE)
    assert registry.sent_bytes == sum(part.missing_bytes for part in parts)
    assert registry.lines("HEAD") == []


async def test_a_finished_download_that_was_not_named_is_not_fetched_again(registry: FakeRegistry, site: Site) -> None:
    leave_partial(site, SMALL, [Part(0, 0, 1000, 1000)])
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert registry.lines() == ["GET /v2/lib/m/manifests/latest"]


@pytest.mark.parametrize(
    "parts",
    [
        [Part(0, 0, 500, 500), Part(1, 600, 400, 400)],
        [Part(0, 0, 600, 600), Part(1, 500, 500, 500)],
        [Part(0, 0, 500, 500)],
        [Part(0, 0, 1000, 1001)],
        [Part(0, 0, 1000, -1)],
        [Part(0, 0, 0, 0), Part(1, 0, 1000, 10)],
        [Part(0, 0, 2000, 10)],
        [Part(0, -1000, 2000, 10)],
    ],
    ids=["gap", "overlap", "short", "more than all", "less than nothing", "empty", "long", "negative"],
)
async def test_records_that_make_no_sense_begin_anew(parts: list[Part], registry: FakeRegistry, site: Site) -> None:
    leave_partial(site, SMALL, [])
    path = partial(site, SMALL)
    for part in parts:
        fields = {"N": part.n, "Offset": part.offset, "Size": part.size_bytes, "Completed": part.completed_bytes}
        path.with_name(f"{path.name}-{part.n}").write_text(json.dumps(fields))
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert registry.sent_bytes == len(SMALL)


@pytest.mark.parametrize("text", ["", "{", '{"N":7,"Offset":0,"Size":1000,"Completed":1}', '{"N":"0"}', "\x00" * 9000])
async def test_records_that_cannot_be_read_begin_anew(text: str, registry: FakeRegistry, site: Site) -> None:
    leave_partial(site, SMALL, [])
    path = partial(site, SMALL)
    path.with_name(f"{path.name}-0").write_text(text)
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)


async def test_records_without_their_data_begin_anew(registry: FakeRegistry, site: Site) -> None:
    leave_partial(site, SMALL, [Part(0, 0, 1000, 900)])
    partial(site, SMALL).unlink()
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert registry.sent_bytes >= len(SMALL)


async def test_wrong_data_of_an_earlier_attempt_are_fetched_again_by_themselves(
    registry: FakeRegistry, site: Site
) -> None:
    leave_partial(site, WHOLE, [Part(0, 0, len(WHOLE), 5000)])
    path = partial(site)
    path.write_bytes(b"\x00" * len(WHOLE))
    steps = await site.pull(prepare(registry))
    assert_fetched(site, WHOLE)
    completed = [step.completed for step in steps if step.digest]
    assert completed == sorted(completed)


# -- sizes ------------------------------------------------------------------------------------------------------------


async def test_a_registry_that_does_not_say_the_size_is_taken_at_its_manifests_word(
    registry: FakeRegistry, site: Site
) -> None:
    registry.faults["head"] = [NoLength()]
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)


async def test_manifest_and_registry_have_to_agree_on_the_size(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_manifest("lib/m", [{**registry.layer("model", SMALL), "size": 999}], config=None)
    with pytest.raises(BadAnswer, match="size mismatch, expected 999, got 1000"):
        await site.pull(name)
    assert site.blob_names() == []


async def test_a_manifest_without_sizes_is_enough(registry: FakeRegistry, site: Site) -> None:
    name = registry.add_manifest("lib/m", [{**registry.layer("model", SMALL), "size": 0}], config=None)
    await site.pull(name)
    assert_fetched(site, SMALL)


async def test_a_blob_larger_than_the_disk_is_refused_at_once(registry: FakeRegistry, site: Site) -> None:
    huge = 2**62
    name = registry.add_manifest("lib/m", [{**registry.layer("model", SMALL), "size": huge}], config=None)
    registry.faults["head"] = [NoLength()]
    with pytest.raises(StoreUnusable, match="no space left on device"):
        await site.pull(name)
    assert site.blob_names() == []
    assert site.sleeps == []


# -- progress and cancelling ------------------------------------------------------------------------------------------


async def test_progress_never_goes_back(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [Trickle(100, 0.005), Drop(500), Trickle(50, 0.005), Cut(300), WrongRange()] * 3
    steps = [step for step in await site.pull(prepare(registry)) if step.digest]
    assert [step.completed for step in steps] == sorted(step.completed for step in steps)
    assert {step.total for step in steps} == {len(WHOLE)}


async def test_a_cancelled_pull_keeps_what_came(registry: FakeRegistry, site: Site) -> None:
    name = prepare(registry, SMALL)
    registry.faults["blob"] = [Trickle(10, 0.002)]
    before = asyncio.all_tasks()
    async with aclosing(site.steps(name)) as steps:
        async for step in steps:
            if step.completed >= 100:
                break
    assert await left_tasks(before) == set()
    record = json.loads(partial(site, SMALL).with_name(f"{partial(site, SMALL).name}-0").read_text())
    assert 100 <= record["Completed"] < 1000
    await site.pull(name)
    assert_fetched(site, SMALL)
    assert ranges(registry)[-1] == f"bytes={record['Completed']}-999"


async def test_a_pull_may_be_cancelled_at_any_moment(registry: FakeRegistry, site: Site) -> None:
    """Nothing is held afterwards: no lock on the download, no lease on the store, no task."""
    name = prepare(registry)
    before = asyncio.all_tasks()
    for n in range(40):
        task = asyncio.create_task(site.pull(name))
        await asyncio.wait([task], timeout=n * 0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await left_tasks(before) == set()
    await site.pull(name)
    assert os.listdir(site.store.root / ".puna" / "leases") == []
    assert_fetched(site, WHOLE)


async def test_the_hash_follows_the_data(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last part comes, everything before it is hashed."""
    from registry import partial as module

    hashed: list[tuple[int, int]] = []
    original = module.PartialBlob.hash_range

    def spy(self: module.PartialBlob, hash_: object, start: int, stop: int) -> None:
        hashed.append((stop, len(ranges(registry))))
        original(self, hash_, start, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(module.PartialBlob, "hash_range", spy)
    site = Site(tmp_path, Pace(part_bytes=PART_BYTES, n_streams=1, flush_bytes=64, flush_s=0.0))
    registry.faults["blob"] = [*[None] * 12, Stall(0)]
    await site.pull(prepare(registry))
    assert_fetched(site, WHOLE)
    assert [stop for stop, n_requests in hashed if n_requests <= 13][-1] == 12 * PART_BYTES
    assert [stop for stop, _ in hashed] == sorted(stop for stop, _ in hashed)
    await site.registries.close()


def test_the_default_pace_is_the_originals() -> None:
    pace = Pace()
    assert (pace.n_streams, pace.n_attempts, pace.part_bytes) == (16, 6, 100_000_000)
    assert dataclasses.replace(pace) == pace
