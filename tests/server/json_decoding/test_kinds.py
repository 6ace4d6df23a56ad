"""Structs decoded as Go would: leniency, the wording of mismatches, and which of several errors is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from server.json_decoding.containers import Custom, Map, OrderedMap, Own, Pointer, Slice, Struct
from server.json_decoding.errors import DecodeError, Refused
from server.json_decoding.kinds import decode, member
from server.json_decoding.nodes import Node
from server.json_decoding.parse import parse
from server.json_decoding.scalars import ANY, BOOL, FLOAT64, INT, RAW, STRING, Bytes


def _even(node: Node) -> int:
    if node != "two":
        raise Refused("that is not even")
    return 2


@dataclass(slots=True)
class Leaf:
    text: str = member(STRING)
    index: int = member(INT)
    arguments: dict[str, Any] = member(OrderedMap(ANY, "api.Arguments"))


LEAF = Struct("api.Leaf", Leaf)


@dataclass(slots=True)
class Root:
    name: str = member(STRING)
    flag: bool = member(BOOL)
    count: int = member(INT)
    ratio: float = member(FLOAT64)
    stream: bool | None = member(Pointer(BOOL))
    context: list[int] | None = member(Pointer(Slice(INT)))
    words: list[str] = member(Slice(STRING))
    leaves: list[Leaf] = member(Slice(LEAF, "api.Leaves"))
    owned: list[Leaf] = member(Slice(Own(Struct("api.Alias", Leaf), "api.Owned")))
    leaf: Leaf = member(LEAF)
    images: list[bytes] = member(Slice(Bytes("api.ImageData")))
    options: dict[str, Any] = member(Map(ANY))
    files: dict[str, str] = member(Map(STRING))
    format: bytes = member(RAW)
    even: int | None = member(Pointer(Custom("api.Even", _even)))
    debug: bool = member(BOOL, "_debug")


ROOT = Struct("api.RootRequest", Root)


def read(text: str) -> Root:
    body = decode(ROOT, parse(text.encode()))
    assert isinstance(body, Root)
    return body


def error_of(text: str) -> str:
    with pytest.raises(DecodeError) as caught:
        read(text)
    return str(caught.value)


def test_an_absent_field_and_null_are_the_same() -> None:
    fields = ("name", "flag", "count", "stream", "context", "words", "leaves", "leaf", "images", "options", "format")
    assert read("{" + ",".join(f'"{name}":null' for name in fields) + "}") == read("{}") == read("null") == Root()


def test_keys_match_in_any_case_and_unknown_ones_are_skipped() -> None:
    body = read('{"NAME":"a","Flag":true,"_DEBUG":true,"word\u017f":["x"],"other":{"name":1},"":[]}')
    assert (body.name, body.flag, body.debug, body.words) == ("a", True, True, ["x"])


def test_of_equal_keys_the_last_wins_and_objects_are_joined() -> None:
    body = read(
        '{"name":"a","options":{"x":1,"y":1},"Name":"b","options":{"y":2},"leaf":{"text":"t"},"leaf":{"index":3}}'
    )
    assert (body.name, body.options) == ("b", {"x": 1, "y": 2})
    assert (body.leaf.text, body.leaf.index) == ("t", 3)


def test_an_empty_list_differs_from_none_where_the_field_says_so() -> None:
    assert read('{"context":[]}').context == []
    assert read('{"context":[1,2],"context":null}').context is None


def test_numbers_of_free_form_values_are_float64() -> None:
    body = read('{"options":{"a":7,"b":7.0,"c":1e2,"d":0.5,"e":9007199254740993,"f":-0.0,"g":1e30}}')
    assert body.options == {"a": 7, "b": 7, "c": 100, "d": 0.5, "e": 9007199254740992, "f": 0.0, "g": 1e30}
    assert [type(v) for v in body.options.values()] == [int, int, int, float, int, float, float]


def test_raw_fields_keep_order_repetition_and_spelling() -> None:
    assert (
        read('{"format": {"b":1.50, "a":[true,null,"\\u00e9\\""], "b":{}}}').format
        == '{"b":1.50,"a":[true,null,"é\\""],"b":{}}'.encode()
    )


def test_an_ordered_map_keeps_the_place_of_a_repeated_key() -> None:
    arguments = read('{"leaf":{"arguments":{"b":1,"a":2,"b":3}}}').leaf.arguments
    assert list(arguments.items()) == [("b", 3), ("a", 2)]


MISMATCHES = [
    ("[1]", "json: cannot unmarshal array into Go value of type api.RootRequest"),
    ('"x"', "json: cannot unmarshal string into Go value of type api.RootRequest"),
    ("3", "json: cannot unmarshal number into Go value of type api.RootRequest"),
    ("true", "json: cannot unmarshal bool into Go value of type api.RootRequest"),
    ('{"name":1}', "json: cannot unmarshal number into Go struct field RootRequest.name of type string"),
    ('{"NAME":{}}', "json: cannot unmarshal object into Go struct field RootRequest.name of type string"),
    ('{"flag":"yes"}', "json: cannot unmarshal string into Go struct field RootRequest.flag of type bool"),
    ('{"stream":1}', "json: cannot unmarshal number into Go struct field RootRequest.stream of type bool"),
    ('{"count":"1"}', "json: cannot unmarshal string into Go struct field RootRequest.count of type int"),
    ('{"count":1.5}', "json: cannot unmarshal number 1.5 into Go struct field RootRequest.count of type int"),
    ('{"count":5.0}', "json: cannot unmarshal number 5.0 into Go struct field RootRequest.count of type int"),
    ('{"count":1e2}', "json: cannot unmarshal number 1e2 into Go struct field RootRequest.count of type int"),
    (
        '{"count":9223372036854775808}',
        "json: cannot unmarshal number 9223372036854775808 into Go struct field RootRequest.count of type int",
    ),
    ('{"ratio":1e999}', "json: cannot unmarshal number 1e999 into Go struct field RootRequest.ratio of type float64"),
    ('{"context":"x"}', "json: cannot unmarshal string into Go struct field RootRequest.context of type []int"),
    ('{"context":[1,"a"]}', "json: cannot unmarshal string into Go struct field RootRequest.context of type int"),
    ('{"words":{}}', "json: cannot unmarshal object into Go struct field RootRequest.words of type []string"),
    ('{"leaves":{}}', "json: cannot unmarshal object into Go struct field RootRequest.leaves of type api.Leaves"),
    ('{"leaves":["x"]}', "json: cannot unmarshal string into Go struct field RootRequest.leaves of type api.Leaf"),
    ('{"leaves":[{"index":"x"}]}', "json: cannot unmarshal string into Go struct field Leaf.leaves.index of type int"),
    ('{"owned":"x"}', "json: cannot unmarshal string into Go struct field RootRequest.owned of type []api.Owned"),
    ('{"owned":["x"]}', "json: cannot unmarshal string into Go struct field RootRequest.owned of type api.Alias"),
    (
        '{"owned":[{"text":[]}]}',
        "json: cannot unmarshal array into Go struct field RootRequest.owned.text of type string",
    ),
    (
        '{"owned":[{"arguments":{"a":1e999}}]}',
        "json: cannot unmarshal number 1e999 into Go struct field RootRequest.owned.arguments of type float64",
    ),
    ('{"images":"x"}', "json: cannot unmarshal string into Go struct field RootRequest.images of type []api.ImageData"),
    ('{"images":[5]}', "json: cannot unmarshal number into Go struct field RootRequest.images of type api.ImageData"),
    ('{"images":[[300]]}', "json: cannot unmarshal number 300 into Go struct field RootRequest.images of type uint8"),
    ('{"images":["YWJ"]}', "illegal base64 data at input byte 0"),
    (
        '{"options":[]}',
        "json: cannot unmarshal array into Go struct field RootRequest.options of type map[string]interface {}",
    ),
    ('{"files":{"a":5}}', "json: cannot unmarshal number into Go struct field RootRequest.files of type string"),
    ('{"leaf":{"arguments":"x"}}', "Value looks like object, but can't find closing '}' symbol"),
    ('{"even":"three"}', "that is not even"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MISMATCHES)
def test_a_mismatch_is_told_in_the_words_of_go(text: str, message: str) -> None:
    assert error_of(text) == message


def test_the_first_mismatch_wins() -> None:
    assert "RootRequest.flag" in error_of('{"flag":"x","name":5}')
    assert "number into" in error_of('{"name":1,"name":"good"}')


def test_a_type_that_decodes_itself_wins_over_an_earlier_mismatch() -> None:
    assert error_of('{"name":1,"even":"three"}') == "that is not even"
    assert "RootRequest.owned" in error_of('{"name":1,"owned":["x"]}')


def test_broken_syntax_wins_over_a_mismatch() -> None:
    assert error_of('{"name":1,"words":[') == "unexpected EOF"


def test_a_list_of_small_numbers_is_bytes_too() -> None:
    assert read('{"images":[[1,255]]}').images == [b"\x01\xff"]


@pytest.mark.parametrize("field", ["options", "format", "leaf"])
def test_what_is_kept_may_not_be_nested_without_end(field: str) -> None:
    deep = "[" * 5000 + "]" * 5000
    value = {"options": f'{{"a":{deep}}}', "format": deep, "leaf": f'{{"arguments":{{"a":{deep}}}}}'}[field]
    assert error_of(f'{{"{field}":{value}}}') == "exceeded max depth"


def test_unknown_fields_may_be_nested_deeply() -> None:
    assert read('{"other":' + "[" * 5000 + "]" * 5000 + ',"name":"a"}').name == "a"
