"""Grammars that would take all time and memory are refused, in little of either."""

from __future__ import annotations

import json
import resource

import pytest

from models.errors import InvalidConstraint
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


EXPLODING = [Constraint("json_schema", schema(18)), Constraint("lark", lark(14))]


@pytest.mark.parametrize("constraint", EXPLODING, ids=lambda constraint: constraint.kind)
def test_what_would_never_compile_is_refused(constraint: Constraint) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(InvalidConstraint, match="too much time or memory"):
        Grammars(ByteVocabulary()).matcher(constraint)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < trial.MAX_CPU_S + 2


def test_what_would_never_compile_is_not_looked_at_for_the_place_of_another_mistake() -> None:
    wrong = {"type": "object", "properties": {"b": json.loads(schema(18))}, "minProperties": "x"}
    with pytest.raises(InvalidConstraint, match=r"invalid json_schema: .*minProperties"):
        Grammars(ByteVocabulary()).matcher(Constraint("json_schema", json.dumps(wrong)))


def test_a_grammar_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(trial, "ends", lambda lark: not tried.append(lark))
    easy = json.dumps({"allOf": [{"type": "string", "pattern": f"^{'a' * n}"} for n in range(1, 12)]})
    grammars = Grammars(ByteVocabulary())
    for _ in range(3):
        grammars.matcher(Constraint("json_schema", easy))
    assert len(tried) == 1


def test_many_expressions_that_are_easy_to_combine_compile() -> None:
    easy = json.dumps({"allOf": [{"type": "string", "pattern": f"^{'a' * n}"} for n in range(1, 12)]})
    matcher = Grammars(ByteVocabulary()).matcher(Constraint("json_schema", easy))
    assert matcher.allows(ord('"'))


@pytest.mark.parametrize(
    ("text", "is_needed"),
    [
        (schema(18), True),
        (schema(4), False),
        (lark(14), True),
        (lark(4), False),
        (json.dumps({"properties": {f"p{i}": {"pattern": "a"} for i in range(99)}}), False),
        (json.dumps({"description": "Q & A " * 20}), False),
        ("start: /a+/", False),
    ],
)
def test_only_what_combines_many_expressions_is_tried(text: str, is_needed: bool) -> None:
    assert trial.is_needed(text, is_schema=text.startswith("{")) is is_needed


def test_what_has_to_be_tried_or_is_long_is_not_quick() -> None:
    grammars = Grammars(ByteVocabulary())
    short = Constraint("regex", "a+")
    assert not grammars.is_quick(short)
    grammars.matcher(short)
    assert grammars.is_quick(short)
    assert not any(grammars.is_quick(one) for one in (*EXPLODING, Constraint("regex", "a" * 10_000)))
