"""Downloads that break off, stall, or get something else than they asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import BadAnswer, DownloadCorrupt, RetriesExhausted
from registry.pace import Pace
from registry.partial import Part
from tests.fakes.faulty_http import Cut, Drop, Fault, NoRange, Replace, Stall, Status, Trickle, WrongRange
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import PART_BYTES, Site, left_tasks
from tests.registry.transfer_case import SMALL, WHOLE, assert_fetched, leave_partial, prepare, ranges

pytestmark = pytest.mark.anyio


# -- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [Drop(0), Drop(1), Drop(700), Cut(0), Cut(700), Stall(None), Stall(0), Stall(700), Status(503), WrongRange()],
    ids=str,
)
@pytest.mark.parametrize("has_storage", [True, False])
async def test_a_failure_costs_no_byte_that_came(
    fault: Fault, has_storage: bool, registry: FakeRegistry, site: Site
) -> None:
    registry.has_storage = has_storage
    name = prepare(registry, SMALL)
    registry.faults["blob"] = [fault] if has_storage else [None, fault]
    await site.pull(name)
    assert_fetched(site, SMALL)
    came = getattr(fault, "after_bytes", 0) or 0
    asked = [text for text in ranges(registry) if text != "bytes=0-0"]
    if isinstance(fault, Drop):  # a reset may overtake what was sent before it
        assert 0 <= int(asked[-1][6:].partition("-")[0]) <= came
    else:
        assert asked == ["bytes=0-999", f"bytes={came}-999"]
    assert site.sleeps == ([] if isinstance(fault, Stall) else [1.0])


async def test_a_slow_line_is_not_a_stalled_one(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [Trickle(100, pause_s=0.02)]
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert ranges(registry) == ["bytes=0-999"]


async def test_stalls_do_not_count(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [*[Stall(10)] * 4, *[Stall(None)] * 4]
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert site.sleeps == []


async def test_six_failures_of_a_part_end_the_pull_and_keep_what_came(registry: FakeRegistry, site: Site) -> None:
    name = prepare(registry, SMALL)
    registry.faults["blob"] = [Cut(10)] * 6
    with pytest.raises(RetriesExhausted) as caught:
        await site.pull(name)
    assert str(caught.value) == "max retries exceeded: unexpected EOF"
    assert site.sleeps == [1.0, 2.0, 4.0, 8.0, 16.0]
    sent = registry.sent_bytes
    await site.pull(name)
    assert_fetched(site, SMALL)
    assert registry.sent_bytes - sent == len(SMALL) - 60


async def test_attempts_that_bring_much_do_not_count(registry: FakeRegistry, tmp_path: Path) -> None:
    site = Site(tmp_path, Pace(part_bytes=PART_BYTES, worthwhile_bytes=50))
    registry.faults["blob"] = [Cut(50)] * 15
    await site.pull(prepare(registry, SMALL))
    assert site.sleeps == [1.0] * 15
    await site.registries.close()


async def test_the_last_refusal_of_a_part_is_told(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [Status(500, b"kaboom")] * 6
    with pytest.raises(RetriesExhausted, match=r"^max retries exceeded: 500: kaboom$"):
        await site.pull(prepare(registry, SMALL))


async def test_a_part_that_fails_ends_the_others(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [Status(500)] * 100
    before = asyncio.all_tasks()
    with pytest.raises(RetriesExhausted):
        await site.pull(prepare(registry))
    assert await left_tasks(before) == set()


# -- ranges -----------------------------------------------------------------------------------------------------------


async def test_a_server_without_ranges_sends_everything_once(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [NoRange()] * 50
    await site.pull(prepare(registry))
    assert_fetched(site, WHOLE)


async def test_a_server_without_ranges_is_read_past_what_is_here(registry: FakeRegistry, site: Site) -> None:
    leave_partial(site, WHOLE, [Part(0, 0, 6000, 2500), Part(1, 6000, len(WHOLE) - 6000, 100)])
    registry.faults["blob"] = [NoRange(), NoRange(), Cut(7000), NoRange()]
    await site.pull(prepare(registry))
    assert_fetched(site, WHOLE)


async def test_another_stretch_than_asked_for_is_never_kept(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [WrongRange(shift=1)] * 6
    with pytest.raises(RetriesExhausted) as caught:
        await site.pull(prepare(registry, SMALL))
    assert isinstance(caught.value.last, BadAnswer)
    assert Digest.of(SMALL).file_name not in site.blob_names()


async def test_a_stretch_with_a_false_label_is_found_out(registry: FakeRegistry, site: Site) -> None:
    registry.blobs[registry.add(SMALL)] = SMALL
    registry.faults["blob"] = [WrongRange(shift=-1, lie=True)]
    name = prepare(registry, SMALL)
    registry.faults["blob"] = [Replace(b"y" * 1000), Replace(b"y" * 1000)]  # 200 with other content, then again
    with pytest.raises(DownloadCorrupt):
        await site.pull(name)
    assert site.blob_names() == []


@pytest.mark.parametrize(
    "span", ["", "bytes 0-999", "bytes 0-1000/1000", "bytes 0-999/1001", "bytes */1000", "bytes 0-999/-1", "x"]
)
async def test_an_answer_that_labels_its_stretch_wrongly_is_refused(
    span: str, registry: FakeRegistry, site: Site
) -> None:
    registry.faults["blob"] = [Status(206, SMALL, {"Content-Range": span})]
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert registry.sent_bytes >= len(SMALL)


async def test_a_stretch_that_ends_early_is_continued(registry: FakeRegistry, site: Site) -> None:
    registry.faults["blob"] = [Status(206, SMALL[:400], {"Content-Range": "bytes 0-399/1000"})]
    await site.pull(prepare(registry, SMALL))
    assert_fetched(site, SMALL)
    assert ranges(registry)[-1] == "bytes=400-999"
