"""Constrained output on a byte vocabulary."""

from __future__ import annotations

import json

import pytest

from models.errors import InvalidConstraint
from models.runner.lanes import Lane, run_through
from models.runner.settings import Constraint
from models.sampling.grammar import Grammars, Matcher
from tests.fakes.context import END, ByteVocabulary


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(ByteVocabulary())


def accepts(grammars: Grammars, kind: str, constraint: str, text: str) -> bool:
    """Whether the whole text may be said, and the end after it."""
    matcher = run_through(grammars.matcher(Constraint(kind, constraint)))
    for byte in text.encode():
        if not matcher.allows(byte):
            return False
        assert byte in matcher.allowed()
        matcher.accept(byte)
    assert matcher.allows(END) == (END in matcher.allowed())
    return matcher.allows(END)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", True),
        ("{ \n\t}", True),
        ('{"a": 1}', True),
        ('{"a":[1, 2.5e-3, -0, {"b": null}, true , "x\\u00e9\\n"]}', True),
        ('{"ü": "漢"}', True),
        ('{"a":1,"b":2}', True),
        (" {}", False),  # nothing before the object
        ("{} ", False),  # and nothing after it
        ("[]", False),
        ('{"a" : 1}', False),  # no space between a key and its colon
        ('{"a":1 }', True),
        ('{"a":"b" ,"c":1}', False),  # nor between a string and a comma
        ('{"a":true ,"c":1}', True),
        ('{"a":01}', False),
        ('{"a":1', False),
        ('{"a":"\n"}', False),
        ('{"a":"\\x"}', False),
        ('{"a":1,}', False),
        ("{'a':1}", False),
    ],
)
def test_format_json_is_one_object(grammars: Grammars, text: str, expected: bool) -> None:
    # "1 }" is fine: the white space belongs to the closing brace of the object
    assert accepts(grammars, "json", "", text) is expected


PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name"],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name":"Ada","age":36}', True),
        ('{"name": "Ada"}', True),
        ('{\n  "name": "Ada",\n  "age": 36\n}', True),
        ('{"age":36}', False),
        ('{"age":36,"name":"Ada"}', False),  # in the order of the schema
        ('{"name":"Ada","age":"x"}', False),
        ('{"name":"Ada","more":1}', False),  # nothing that the schema does not name
        ('{   "name":"Ada"}', False),  # no more than a little white space
    ],
)
def test_a_schema_is_followed(grammars: Grammars, text: str, expected: bool) -> None:
    assert accepts(grammars, "json_schema", PERSON, text) is expected


@pytest.mark.parametrize(
    ("kind", "constraint", "text", "expected"),
    [
        ("json_schema", '{"enum": ["yes", 1]}', '"yes"', True),
        ("json_schema", '{"enum": ["yes", 1]}', "1", True),
        ("json_schema", '{"enum": ["yes", 1]}', '"no"', False),
        ("json_schema", '{"type": "string", "unknownKeyword": 5}', '"x"', True),
        ("json_schema", '{"properties": {"a": {}}, "additionalProperties": true}', '{"a":1,"b":2}', True),
        ("json_schema", '{"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}', '{"a":1,"b":2}', True),
        ("regex", "a/b[0-9]+", "a/b42", True),
        ("regex", "a/b[0-9]+", "a/b", False),
        ("gbnf", 'root ::= "yes" | "no"', "no", True),
        ("gbnf", 'root ::= "yes" | "no"', "nope", False),
        ("lark", 'start: "a" B\nB: /b+/', "abb", True),
    ],
)
def test_other_kinds_of_constraints(grammars: Grammars, kind: str, constraint: str, text: str, expected: bool) -> None:
    assert accepts(grammars, kind, constraint, text) is expected


def test_an_object_may_have_a_thousand_optional_properties(grammars: Grammars) -> None:
    schema = {"type": "object", "properties": {f"property_{i}": {"type": "integer"} for i in range(1000)}}
    text = '{"property_5":1,"property_77":2,"property_999":3}'
    assert accepts(grammars, "json_schema", json.dumps(schema), text)


def walk(matcher: Matcher, text: str) -> Matcher:
    for byte in text.encode():
        matcher.accept(byte)
    return matcher


def test_what_may_come_next_is_known(grammars: Grammars) -> None:
    matcher = walk(run_through(grammars.matcher(Constraint("json_schema", '{"enum": ["yes", "yellow"]}'))), '"ye')
    assert matcher.allowed().tolist() == sorted(map(ord, "sl"))


def test_a_forced_text_may_be_cut_into_tokens_in_any_way(grammars: Grammars) -> None:
    assert run_through(grammars.matcher(Constraint("json_schema", '{"const": "only"}'))).allowed().tolist() == [
        ord('"')
    ]


def test_it_is_known_when_nothing_can_follow(grammars: Grammars) -> None:
    matcher = walk(run_through(grammars.matcher(Constraint("json", ""))), '{"a":1')
    assert not matcher.is_complete
    assert walk(matcher, "}").is_complete


@pytest.mark.parametrize(
    ("kind", "constraint", "said"),
    [
        ("json_schema", "{", "double quotes"),
        ("json_schema", "[]", "must be an object"),
        ("json_schema", '{"type": "banana"}', "banana"),
        ("json_schema", '{"$ref": "#/nope"}', "/nope"),
        ("json_schema", '{"$ref": "http://x/y"}', "http://x/y"),
        ("json_schema", '{"allOf": [{"type": "string"}, {"type": "integer"}]}', "Unsatisfiable"),
        ("json_schema", "[" * 100_000, "recursion"),
        ("json_schema", '{"type": "string", "pattern": "("}', "unclosed group"),
        ("json_schema", '{"title": "' + "x" * 1024 * 1024 + '"}', "longer than"),
        ("gbnf", 'root ::= "a" | b', "'b'"),
        ("gbnf", "", "root"),
        ("lark", "start: (", "')'"),
        ("lark", "start: missing", "missing"),
        ("regex", "(a", "unclosed group"),
        ("poem", "", "poem"),
        ("json_schema", '{"$ref": "#"}', "refers to itself without end"),
        (
            "json_schema",
            '{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}',
            "end",
        ),
        ("json_schema", '{"properties": {"a": {"items": {"type": "banana"}}}}', "at #/properties/a/items: "),
        ("json_schema", '{"anyOf": [{"type": "string"}, {"type": "string", "pattern": "("}]}', "at #/anyOf/1: "),
        ("json_schema", '{"properties": {"' + "x" * 3000 + '": {"type": "banana"}}}', "xxx…: Invalid type"),
        ("regex", "ab(c", "unclosed group at character 3"),
        ("lark", 'start: "a"\nx: (', "line 2, column 5"),
        ("gbnf", "root ::= " + "(" * 5000 + '"a"' + ")" * 5000, "recursion"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_reason(
    grammars: Grammars, kind: str, constraint: str, said: str
) -> None:
    with pytest.raises(InvalidConstraint, match=r"(?s).*" + said.replace("(", r"\(").replace(")", r"\)")) as raised:
        run_through(grammars.matcher(Constraint(kind, constraint)))
    assert len(str(raised.value)) < 600 and "\n" not in str(raised.value)


WIDE = {"properties": {f"p{i}": {"type": "integer" if i < 399 else "banana"} for i in range(400)}}


@pytest.mark.parametrize(
    ("kind", "constraint", "place"),
    [
        ("json_schema", '{"type": "banana"}', "at #: "),
        ("json_schema", '{"$ref": "#"}', "at #: "),
        ("json_schema", "[]", "at #: "),
        pytest.param("json_schema", '{"minimum": ' + "1" * 5000 + "}", "at #: a number has too many", id="digits"),
        ("json_schema", '{"a":\n}', "at #: line 2, column 1: "),
        ("json_schema", '{"type": "integer", "minimum": 5, "maximum": 1}', "at #: "),
        ("json_schema", '{"properties": {"properties": {"type": "banana"}}}', "at #/properties/properties: "),
        ("json_schema", '{"properties": {"a/b": {"type": "banana"}}}', "at #/properties/a~1b: "),
        ("json_schema", '{"$defs": {"x": {"type": "banana"}}, "$ref": "#/$defs/x"}', "at #/$defs/x: "),
        (
            "json_schema",
            '{"type": "object", "properties": {"a": {"allOf": [{"type": "null"}, {"enum": [1]}]}}, "required": ["a"]}',
            "at #/properties/a: ",
        ),
        ("json_schema", '{"title": "' + "x" * 5000 + '", "items": {"type": "banana"}}', "at #/items: "),
        pytest.param("json_schema", json.dumps(WIDE), "at #/properties/p399: ", id="wide"),
        ("gbnf", 'root ::= "a"\nx ::= b', "line 2, column 7: "),
        ("gbnf", "root ::= root", "rule root: it refers to itself without end"),
        pytest.param("gbnf", f'root ::= "a"{{{"1" * 5000},{"1" * 5000}}}', "a number has too many", id="times"),
        ("lark", "", "rule start: "),
        ("lark", 'x: "a"', "rule start: "),
        ("lark", "start: x\nx: x x", "rule start: "),
        ("lark", 'start: "a"\n  | @b', "line 2, column 5: "),
        ("lark", 'start: "a"\n  | %json {', "line 2, column 5: "),
        ("lark", "start: T\nT: /ab(c/", "line 2, column 4: unclosed group at character 3 of the expression"),
        ("lark", "start: T\nT: /a\\bc/", "line 2, column 4: assertions "),
        ("regex", "a/b\nc(d", "at character 6"),
        ("regex", "\\d\\q", "at character 3"),
        ("regex", "[$^]a\\$b^c", "at character 9"),
        ("regex", "^ab\\bc$", "at character 4"),
        ("regex", "^ab$", None),
        ("regex", "[^\\x00-\\x{10FFFF}]", "at characters 1 to 18: "),
        ("regex", "(x{1000}){1000}", "at characters 1 to 15: it takes too much time"),
    ],
)
def test_every_refusal_says_where(grammars: Grammars, kind: str, constraint: str, place: str | None) -> None:
    asked = Constraint(kind, constraint)
    if place is None:
        assert run_through(grammars.matcher(asked))
        return
    with pytest.raises(InvalidConstraint) as raised:
        run_through(grammars.matcher(asked))
    said = str(raised.value)
    assert place in said
    assert said.startswith(f"invalid {kind}")
    assert not place.startswith(("line", "rule")) or said.startswith(f"invalid {kind}: {place}")


def test_what_is_small_is_compiled_once_and_each_reply_begins_at_its_beginning() -> None:
    grammars, constraint = Grammars(ByteVocabulary()), Constraint("json", "")
    assert list(grammars.matcher(constraint)) == [Lane.COMPILING]
    first, second = run_through(grammars.matcher(constraint)), run_through(grammars.matcher(constraint))
    assert list(grammars.matcher(constraint)) == []
    walk(first, '{"a":1}')
    assert first.is_complete and not second.is_complete
    assert walk(second, '{"b":').allows(ord("[")) and first.allows(END)
    assert walk(run_through(grammars.matcher(constraint)), "{").allows(ord("}"))


def test_no_more_constraints_are_kept_compiled_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.sampling.grammar._MOST_COMPILED", 2)
    grammars = Grammars(ByteVocabulary())
    lanes = [list(grammars.matcher(Constraint("regex", text))) for text in "aabcba"]
    assert lanes == [[Lane.COMPILING], [], [Lane.COMPILING], [Lane.COMPILING], [], [Lane.COMPILING]]


def test_large_ones_are_not_kept() -> None:
    grammars, large = Grammars(ByteVocabulary()), Constraint("json_schema", json.dumps({"const": "a" * 5000}))
    assert [list(grammars.matcher(large)) for _ in range(2)] == [[Lane.COMPILING, Lane.TRYING], [Lane.COMPILING]]
