"""The comparer itself: recorded answers equal themselves, and every kind of damage to one is found. Needs no server."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.compare import Rules, compare
from tests.conformance.replay import rules_of

GOLDEN = Path(__file__).parent / "golden"
Answer = dict[str, Any]

STREAM: Answer = {
    "status": 200,
    "framing": "chunked",
    "headers": {"content-type": ["application/x-ndjson"]},
    "body": [
        '{"model":"m","created_at":"2026-11-22T09:00:00.1Z","response":"a\\u003cb","done":false}\n',
        '{"model":"m","created_at":"2026-11-22T09:00:00.2Z","response":"c","done":false}\n',
        '{"model":"m","created_at":"2026-11-22T09:00:00.3Z","response":"","done":true,"total_duration":12,"eval_count":2}\n',
    ],
}
CALL: Answer = {
    "status": 200,
    "framing": "length",
    "headers": {"content-type": ["application/json"]},
    "body": '{"id":"call_aaaaaaaa","again":{"id":"call_aaaaaaaa"},"arguments":"{\\"a\\":1,\\"b\\":2}",'
    '"logprob":-1.04128,"n":3}\n',
}


def found(recorded: Answer, actual: Answer, **rules: Any) -> list[str]:
    return [str(d) for d in compare(recorded, actual, Rules(mask=rules.pop("mask", {}), **rules))]


def damaged(answer: Answer, damage: Callable[[Answer], object]) -> Answer:
    result = copy.deepcopy(answer)
    damage(result)
    return result


def edit(index: int, old: str, new: str) -> Callable[[Answer], object]:
    def apply(answer: Answer) -> None:
        assert old in answer["body"][index]
        answer["body"][index] = answer["body"][index].replace(old, new)

    return apply


DAMAGES = {
    "a changed field": edit(1, '"c"', '"d"'),
    "a missing key": edit(2, ',"eval_count":2', ""),
    "a key too many": edit(1, '"done":false', '"done":false,"done_reason":""'),
    "a wrong status": lambda a: a.update(status=500),
    "a wrong content type": lambda a: a["headers"].update({"content-type": ["application/json"]}),
    "a missing header": lambda a: a["headers"].clear(),
    "lines in another order": lambda a: a["body"].insert(0, a["body"].pop(1)),
    "a missing line": lambda a: a["body"].pop(0),
    "a line twice": lambda a: a["body"].insert(0, a["body"][0]),
    "null for a string": edit(1, '"c"', "null"),
    "a float for an integer": edit(2, '"eval_count":2', '"eval_count":2.0'),
    "a time that is not UTC": edit(0, "00.1Z", "00.1+01:00"),
    "a time that is no time": edit(0, "2026-11-22T09:00:00.1Z", "now"),
    "a duration of zero": edit(2, '"total_duration":12', '"total_duration":0'),
    "a duration as text": edit(2, '"total_duration":12', '"total_duration":"12"'),
    "a line that is not JSON": edit(1, "}", ""),
    "an empty body": lambda a: a.update(body=""),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found(damage: Callable[[Answer], object]) -> None:
    assert found(STREAM, damaged(STREAM, damage))


def test_times_and_durations_may_differ() -> None:
    other = damaged(STREAM, edit(0, "09:00:00.1Z", "11:11:11Z"))
    other = damaged(other, edit(2, '"total_duration":12', '"total_duration":99999'))
    assert not found(STREAM, other)


def test_key_order_escapes_and_framing_matter_only_when_strict() -> None:
    other = damaged(STREAM, edit(1, '"response":"c","done":false', '"done":false,"response":"c"'))
    other = damaged(other, edit(0, "\\u003c", "<"))
    other["framing"] = "length"
    assert not found(STREAM, other)
    assert len(found(STREAM, other, strict=True)) == 3


def test_another_split_into_chunks_is_equal_only_when_merged() -> None:
    other = damaged(STREAM, lambda a: a["body"].pop(1))
    other = damaged(other, edit(0, "a\\u003cb", "a\\u003cbc"))
    assert found(STREAM, other)
    assert not found(STREAM, other, merge=True)


def test_identifiers_may_differ_but_must_be_reused_alike() -> None:
    assert not found(CALL, damaged(CALL, lambda a: a.update(body=a["body"].replace("aaaaaaaa", "k3k3k3k3"))))
    assert found(CALL, damaged(CALL, lambda a: a.update(body=a["body"].replace("aaaaaaaa", "k3k3k3k3", 1))))
    assert found(CALL, damaged(CALL, lambda a: a.update(body=a["body"].replace("call_", "id_"))))


def test_arguments_inside_a_string_are_compared_as_json() -> None:
    swapped = CALL["body"].replace('{\\"a\\":1,\\"b\\":2}', '{\\"b\\":2,\\"a\\":1}')
    assert not found(CALL, damaged(CALL, lambda a: a.update(body=swapped)))
    assert found(CALL, damaged(CALL, lambda a: a.update(body=swapped.replace('\\"a\\":1', '\\"a\\":7'))))


def test_log_probabilities_have_a_tolerance() -> None:
    assert not found(CALL, damaged(CALL, lambda a: a.update(body=a["body"].replace("-1.04128", "-1.0411"))))
    assert found(CALL, damaged(CALL, lambda a: a.update(body=a["body"].replace("-1.04128", "-1.14"))))


def test_progress_events_may_repeat_or_be_absent_but_statuses_may_not() -> None:
    def events(*lines: Any) -> Answer:
        return STREAM | {"body": [json.dumps(x) + "\n" for x in lines]}

    bar = {"status": "pulling 0123456789ab", "digest": "sha256:0", "total": 5}
    start, end = {"status": "pulling manifest"}, {"status": "success"}
    assert not found(events(start, bar, bar, end), events(start, end), progress=True)
    assert found(events(start, bar, end), events(start, bar), progress=True)
    assert found(events(start, end), events(end, start), progress=True)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda f: f.stem)
def test_recorded_answers_equal_themselves(file: Path) -> None:
    for exchange in json.loads(file.read_text(encoding="utf-8"))["exchanges"]:
        rules = rules_of(exchange, strict=True, merge=False)
        assert not compare(exchange["response"], copy.deepcopy(exchange["response"]), rules), exchange["id"]


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda f: f.stem)
def test_a_wrong_status_is_found_in_every_recorded_answer(file: Path) -> None:
    for exchange in json.loads(file.read_text(encoding="utf-8"))["exchanges"]:
        wrong = exchange["response"] | {"status": 418}
        assert compare(exchange["response"], wrong, rules_of(exchange, strict=False, merge=False)), exchange["id"]
