"""The exact texts of Go's scanner, and that both ways of parsing agree."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.json_decoding.errors import BodyTooComplex, DecodeError, EmptyBody
from server.json_decoding.nodes import Node, Number, Object
from server.json_decoding.parse import MAX_PARTS, _parse_quickly, parse
from server.json_decoding.syntax import MAX_DEPTH, parse_exactly, parse_whole

TEXTS = [
    (b'{"model":', "unexpected EOF"),
    (b'{"model"', "unexpected EOF"),
    (b'{"mod', "unexpected EOF"),
    (b'{"a":"\\u12', "unexpected EOF"),
    (b'{"a":"\\', "unexpected EOF"),
    (b'{"a":tru', "unexpected EOF"),
    (b'{"a":-', "unexpected EOF"),
    (b'{"a":1.', "unexpected EOF"),
    (b'{"a":1e+', "unexpected EOF"),
    (b'{"a":[1,', "unexpected EOF"),
    (b"not json", "invalid character 'o' in literal null (expecting 'u')"),
    (b'{"a":trux}', "invalid character 'x' in literal true (expecting 'e')"),
    (b'{"a":fa1se}', "invalid character '1' in literal false (expecting 'l')"),
    (b"{model:1}", "invalid character 'm' looking for beginning of object key string"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
    (b'{"a":[1 2]}', "invalid character '2' after array element"),
    (b'{"a":[1,]}', "invalid character ']' looking for beginning of value"),
    (b'{"a":}', "invalid character '}' looking for beginning of value"),
    (b'{"a":01}', "invalid character '1' after object key:value pair"),
    (b'{"a":-a}', "invalid character 'a' in numeric literal"),
    (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
    (b'{"a":1.5.2}', "invalid character '.' after object key:value pair"),
    (b'{"a":1e}', "invalid character '}' in exponent of numeric literal"),
    (b'{"a":1e+}', "invalid character '}' in exponent of numeric literal"),
    (b'{"a":1.e5}', "invalid character 'e' after decimal point in numeric literal"),
    (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
    (b'{"a":-Infinity}', "invalid character 'I' in numeric literal"),
    (b'{"a":"\x01"}', "invalid character '\\x01' in string literal"),
    (b'{"a":"line\nbreak"}', "invalid character '\\n' in string literal"),
    (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
    (b'{"a":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"),
    (b'\xef\xbb\xbf{"a":1}', "invalid character 'ï' looking for beginning of value"),
    (b'{"a":\x80}', "invalid character '\\u0080' looking for beginning of value"),
    (b'{"a":\\}', "invalid character '\\\\' looking for beginning of value"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"}", "invalid character '}' looking for beginning of value"),
    (b"[" * (MAX_DEPTH + 1), "invalid character '[' exceeded max depth"),
    (b'{"a":' * (MAX_DEPTH + 1), "invalid character '{' exceeded max depth"),
]


@pytest.mark.parametrize(("body", "text"), TEXTS, ids=lambda value: repr(value)[:40])
def test_the_error_is_the_one_of_go(body: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse(body)
    assert str(caught.value) == text


@pytest.mark.parametrize("body", [b"", b"  \n", b"\t\r"])
def test_white_space_alone_is_no_body(body: bytes) -> None:
    with pytest.raises(EmptyBody):
        parse(body)


@pytest.mark.parametrize("garbage", [b"x", b"}", b"{", b' {"a":2}', b"\x00\xff", b"1", b","])
def test_what_follows_the_first_value_is_ignored(garbage: bytes) -> None:
    assert parse(b' {"a":1.0}' + garbage) == Object([("a", Number("1.0"))])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'{"a":"\ud83d\ude00"}', "😀"),
        (rb'{"a":"\ud83d"}', "\ufffd"),
        (rb'{"a":"\ude00x"}', "\ufffdx"),
        (rb'{"a":"\ud83d\u0041"}', "\ufffdA"),
        (rb'{"a":"\ude00\ud83d"}', "\ufffd\ufffd"),
        (rb'{"a":"\\ud83d\ude00"}', "\\ud83d\ufffd"),
        (b'{"a":"\xff"}', "\ufffd"),
        (b'{"a":"\xe2\x82"}', "\ufffd\ufffd"),
        (b'{"a":"\xe2\x82x"}', "\ufffd\ufffdx"),
        (b'{"a":"\xed\xa0\x80"}', "\ufffd\ufffd\ufffd"),
        (b'{"a":"\xc3\xa9"}', "é"),
    ],
)
def test_text_that_is_no_unicode_is_replaced_as_go_does_it(body: bytes, text: str) -> None:
    assert parse(body) == parse_exactly(body) == Object([("a", text)])


def test_fractions_keep_their_spelling_and_keys_their_repetition() -> None:
    assert parse(b'{"a":1.50,"a":1e2,"b":7}') == Object([("a", Number("1.50")), ("a", Number("1e2")), ("b", 7)])


def test_depth_within_the_limit_is_read() -> None:
    assert isinstance(parse(b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}"), Object)


def test_a_body_of_countless_parts_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BodyTooComplex):
        parse(b'{"a":[' + b"0," * MAX_PARTS + b"0]}")
    with pytest.raises(BodyTooComplex):
        parse(b'{"a":[' + b'"",' * (MAX_PARTS + 1))


def test_commas_within_strings_do_not_count() -> None:
    node = parse(b'{"a":"\\"' + b"[{," * MAX_PARTS + b'"}')
    assert isinstance(node, Object)
    assert node[0][1] == '"' + "[{," * MAX_PARTS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_both_ways_make_the_same_of_good_json(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert with_literals(parse(body)) == parse_exactly(body)


def with_literals(node: Node) -> Node:
    """With integers as the exact grammar leaves them."""
    match node:
        case bool():
            return node
        case int():
            return Number(node)
        case Object():
            return Object((key, with_literals(value)) for key, value in node)
        case list():
            return [with_literals(item) for item in node]
        case _:
            return node


def outcome(body: bytes) -> Node | str:
    try:
        return parse_exactly(body)
    except DecodeError as error:
        return str(error)


@settings(max_examples=300)
@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\ud8 \n"', max_size=30))
@example('{"a":1}x')
def test_quick_parsing_accepts_nothing_that_the_grammar_does_not(text: str) -> None:
    body = ("{" + text).encode()
    quick = _parse_quickly(body)
    if quick is not None:
        assert with_literals(quick) == outcome(body) or b"-0" in body


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b" ", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"{} {}", "invalid character '{' after top-level value"),
        (b"1 x", "invalid character 'x' after top-level value"),
        (b"{a}", "invalid character 'a' looking for beginning of object key string"),
    ],
)
def test_a_text_within_a_body_has_one_value(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_whole(data)
    assert str(caught.value) == text


def test_a_text_within_a_body_is_read() -> None:
    assert parse_whole(b' {"a":[1]} ') == Object([("a", [Number("1")])])
