from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import (
    AccessDenied,
    BadAnswer,
    DownloadCorrupt,
    NotInRegistry,
    RegistryRefused,
    RetriesExhausted,
    StoreUnusable,
)
from registry.names import ModelName
from registry.pace import Pace
from registry.partial import Part
from tests.fakes.faulty_http import (
    Cut,
    Drop,
    Fault,
    NoLength,
    NoRange,
    Redirect,
    Replace,
    Stall,
    Status,
    Trickle,
    WrongRange,
)
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import PART_BYTES, Site, left_tasks

pytestmark = pytest.mark.anyio

WHOLE = random.Random(1).randbytes(12 * PART_BYTES + 345)
SMALL = WHOLE[:PART_BYTES]


def prepare(registry: FakeRegistry, content: bytes = WHOLE) -> ModelName:
    """A model of one layer: faults then are for that layer alone."""
    return registry.add_manifest("lib/m", [registry.layer("model", content)], config=None)


def ranges(registry: FakeRegistry) -> list[str]:
    return [request.headers["Range"] for request in registry.requests if "Range" in request.headers]


def assert_fetched(site: Site, content: bytes) -> None:
    digest = Digest.of(content)
    assert site.store.blobs.read_bytes(digest) == content
    assert site.blob_names() == [digest.file_name]


def partial(site: Site, content: bytes = WHOLE) -> Path:
    return site.store.blobs.directory / f"{Digest.of(content).file_name}-partial"


def leave_partial(site: Site, content: bytes, parts: Sequence[Part]) -> None:
    """What an interrupted download of the original left: its own spelling of the records, the data sparse."""
    path = partial(site, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(len(content))
    for part in parts:
        data[part.offset : part.position] = content[part.offset : part.position]
        record = (
            f'{{"N":{part.n},"Offset":{part.offset},"Size":{part.size_bytes},"Completed":{part.completed_bytes}}}\n'
        )
        path.with_name(f"{path.name}-{part.n}").write_text(record)
    path.write_bytes(data)


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


# -- where the data are -----------------------------------------------------------------------------------------------


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
