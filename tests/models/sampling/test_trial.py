"""Grammars that would take all time and memory are refused, in little of either."""

from __future__ import annotations

import json
import resource
import signal
from contextlib import suppress

import pytest

from models.errors import InvalidConstraint
from models.runner.lanes import run_through
from models.runner.settings import Constraint
from models.sampling import trial
from models.sampling.grammar import Grammars
from tests.fakes.context import ByteVocabulary


def patterns(n: int) -> list[str]:
    """Expressions of which no two are alike, and all must match at once."""
    return [f".*a.{{{i}}}b.*" for i in range(n)]


def schema(n: int) -> str:
    return json.dumps({"allOf": [{"type": "string", "pattern": pattern} for pattern in patterns(n)]})


def lark(n: int) -> str:
    return "start: TEXT\nTEXT: " + " & ".join(f"/{pattern}/" for pattern in patterns(n))


def multiples(*factors: int) -> str:
    return json.dumps({"allOf": [{"type": "integer", "multipleOf": factor} for factor in factors]})


def call(schema: str) -> str:
    """With a token that bytes do not have."""
    return f"start: tag_0 %json {schema}\ntag_0: <[258]>"


def chain(n: int, rule: str) -> str:
    """Rules of which each needs the next."""
    return "\n".join(rule.format(i, i + 1) for i in range(n))


EXPLODING = [
    Constraint("json_schema", schema(18)),
    Constraint("lark", lark(14)),
    Constraint("calls", call(schema(18))),
    Constraint("lark", "start: <[258]> T\nT: /(x{1000}){1000}/"),
    Constraint("lark", lark(14).replace("start:", "start: <call>")),
    Constraint("json_schema", multiples(9973, 9967)),
    Constraint("json_schema", json.dumps({"properties": {f"p{i}": {"type": "string"} for i in range(10_000)}})),
    Constraint("lark", "start: r0\n" + chain(5000, 'r{}: "a" r{} "b"') + '\nr5000: "z"'),
    Constraint("gbnf", "root ::= r0\n" + chain(5000, 'r{} ::= "a" r{} root?') + '\nr5000 ::= "z"'),
    Constraint("regex", "(x{1000}){1000}"),
    Constraint("regex", "y?(x{500}){500}"),
    Constraint("gbnf", 'root ::= "' + "a" * 400_000 + '"'),
    Constraint("lark", "start: T0\n" + chain(18, "T{0}: T{1} T{1}") + '\nT18: "z"'),
]


@pytest.mark.parametrize("constraint", EXPLODING, ids=lambda constraint: constraint.text[:20])
def test_what_would_never_compile_is_refused(constraint: Constraint) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(InvalidConstraint, match="too much time or memory"):
        run_through(Grammars(ByteVocabulary()).matcher(constraint))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < trial.FULL.cpu_s + 2


def test_what_would_never_compile_is_not_looked_at_for_the_place_of_another_mistake() -> None:
    wrong = {"type": "object", "properties": {"b": json.loads(schema(18))}, "minProperties": "x"}
    with pytest.raises(InvalidConstraint, match=r"invalid json_schema at #: .*minProperties"):
        run_through(Grammars(ByteVocabulary()).matcher(Constraint("json_schema", json.dumps(wrong))))


@pytest.mark.parametrize("is_refused", [False, True])
def test_limits_are_never_raised_and_a_system_may_refuse_them(
    monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    limits: dict[int, tuple[int, int]] = {}

    def set_limit(kind: int, limit: tuple[int, int]) -> None:
        if is_refused:
            raise ValueError("current limit exceeds maximum limit")
        limits[kind] = limit

    timers: dict[int, float] = {}
    allowed = {resource.RLIMIT_AS: 1 << 29, resource.RLIMIT_CORE: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (allowed[kind], allowed[kind]))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    monkeypatch.setattr(signal, "setitimer", timers.__setitem__)
    trial._limit_resources(trial.FULL)
    assert limits == ({} if is_refused else {resource.RLIMIT_AS: (1 << 29,) * 2, resource.RLIMIT_CORE: (0, 0)})
    assert timers == {signal.ITIMER_PROF: trial.FULL.cpu_s}


def test_a_grammar_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: not tried.append(lark))
    easy = json.dumps({"allOf": [{"type": "string", "pattern": f"^{'a' * n}"} for n in range(1, 12)]})
    grammars = Grammars(ByteVocabulary())
    for _ in range(3):
        run_through(grammars.matcher(Constraint("json_schema", easy)))
    assert len(tried) == 1


@pytest.mark.parametrize(("found", "n_tried"), [(False, 1), (None, 2 * 3)])
def test_one_that_was_refused_is_tried_again_if_the_machine_had_no_time(
    monkeypatch: pytest.MonkeyPatch, found: bool | None, n_tried: int
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: (tried.append(lark), found)[1])
    grammars = Grammars(ByteVocabulary())
    for _ in range(3):
        with pytest.raises(InvalidConstraint, match="too much time"):
            run_through(grammars.matcher(Constraint("regex", "(a{100}){100}")))
    assert len(tried) == n_tried


def test_no_more_grammars_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: not tried.append(lark))
    monkeypatch.setattr("models.sampling.grammar._MOST_TRIED", 2)
    grammars = Grammars(ByteVocabulary())
    for name in "aabcba":
        run_through(grammars.matcher(Constraint("gbnf", f'root ::= "{name}"')))
    assert [text[-3:] for text in tried] == ['"a"', '"b"', '"c"', '"a"']


def test_many_expressions_that_are_easy_to_combine_compile() -> None:
    easy = json.dumps({"allOf": [{"type": "string", "pattern": f"^{'a' * n}"} for n in range(1, 12)]})
    matcher = run_through(Grammars(ByteVocabulary()).matcher(Constraint("json_schema", easy)))
    assert matcher.allows(ord('"'))


NODE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"}, "n": {"type": "integer", "minimum": 1}}}
TYPICAL = {
    "$defs": {"node": NODE},
    "title": "Answer",
    "properties": {
        "root": {"$ref": "#/$defs/node", "description": "where it begins"},
        "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Name"},
        "kind": {"enum": ["a", "b"]},
        "codes": {"type": "array", "items": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{1,6}$"}, "maxItems": 5},
        "day": {"type": "string", "format": "date"},
    },
    "required": ["root", "kind"],
}


@pytest.mark.parametrize(
    ("kind", "text", "is_needed"),
    [
        ("json", "", False),
        ("json_schema", json.dumps(TYPICAL), False),
        ("json_schema", json.dumps({"description": "x" * 5000}), True),
        ("json_schema", schema(4), True),
        ("json_schema", multiples(2), True),
        ("json_schema", json.dumps({"type": "integer", "multipleOf": 9973}), True),
        ("json_schema", json.dumps({"$defs": {"a": {"pattern": "a"}}, "$ref": "#/$defs/a", "pattern": "b"}), True),
        ("json_schema", json.dumps({"anyOf": [{"pattern": "a"}], "oneOf": [{"pattern": "b"}]}), True),
        ("json_schema", json.dumps({"type": "string", "pattern": "(x{99}){99}"}), True),
        ("json_schema", json.dumps({"type": "string", "pattern": "a", "format": "date"}), True),
        ("json_schema", json.dumps({"patternProperties": {"a": {}, "b": {}}}), True),
        ("json_schema", json.dumps({"properties": {"b": json.loads(schema(4))}}), True),
        ("regex", "a+", False),
        ("regex", "[a-z]{1,20} [0-9]{4}", False),
        ("regex", "(x{1000}){1000}", True),
        ("regex", "x{ 5, 2000 }", True),
        ("regex", "a" * 5000, True),
        ("gbnf", 'root ::= "a"', True),
        ("lark", 'start: "a"', True),
    ],
)
def test_what_cannot_be_known_to_be_harmless_is_tried(kind: str, text: str, is_needed: bool) -> None:
    assert trial.is_needed(kind, text) is is_needed


LARGE_BUT_HARMLESS = [
    Constraint("json_schema", json.dumps({"enum": [f"value {i}" for i in range(5000)]})),
    Constraint("json_schema", json.dumps({"type": "array", "items": {"type": "integer"}, "minItems": 10**6})),
    Constraint("json_schema", json.dumps({"const": "a" * 500_000})),
    Constraint("regex", ".{100000}"),
    Constraint("regex", "|".join(f"word{i}" for i in range(20_000))),
    Constraint("gbnf", 'root ::= "a"{0,100000}'),
    Constraint("gbnf", "root ::= " + " | ".join(f'"w{i}"' for i in range(20_000))),
    Constraint("gbnf", 'root ::= "a"\n# ' + "c" * 900_000),
]


@pytest.mark.parametrize("constraint", LARGE_BUT_HARMLESS, ids=lambda constraint: constraint.text[:20])
def test_what_only_looks_large_is_followed(constraint: Constraint) -> None:
    assert len(run_through(Grammars(ByteVocabulary()).matcher(constraint)).allowed())


@pytest.mark.parametrize(
    ("brief", "full", "lanes", "again"),
    [
        (True, None, ["COMPILING", "TRYING"], ["COMPILING"]),
        (False, None, ["COMPILING", "TRYING"], ["COMPILING"]),
        (None, True, ["COMPILING", "TRYING", "PERSISTING"], ["COMPILING", "PERSISTING"]),
        (None, False, ["COMPILING", "TRYING", "PERSISTING"], ["COMPILING"]),
        (None, None, ["COMPILING", "TRYING", "PERSISTING"], ["COMPILING", "TRYING", "PERSISTING"]),
    ],
)
def test_what_takes_longer_than_others_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch, brief: bool | None, full: bool | None, lanes: list[str], again: list[str]
) -> None:
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: full if budget is trial.FULL else brief)
    grammars = Grammars(ByteVocabulary())
    for expected in (lanes, again):
        seen = []
        with suppress(InvalidConstraint):
            for lane in grammars.matcher(Constraint("gbnf", 'root ::= "a"')):
                seen.append(lane.name)
        assert seen == expected


def test_the_brief_budget_finds_out_that_it_takes_longer() -> None:
    assert trial.ends('start: "a"', trial.BRIEF, n_tokens=0) is True
    assert trial.ends(lark(14), trial.BRIEF, n_tokens=0) is None
