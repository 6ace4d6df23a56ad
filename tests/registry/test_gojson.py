"""Go's JSON, `%v` and `%q`. Every expected text was printed by Go, or follows from a rule of its documentation."""

from __future__ import annotations

import json
import math
import random
import struct
import time
from array import array
from collections import OrderedDict
from enum import StrEnum

import pytest

from registry.errors import UnsupportedValue
from registry.gojson import (
    Float32,
    Raw,
    encode,
    encode_float32,
    encode_sorted,
    encode_time,
    format_float,
    format_value,
    quote,
)

FLOATS = [
    (1.0, "1"),
    (-1.0, "-1"),
    (0.0, "0"),
    (-0.0, "-0"),
    (0.1, "0.1"),
    (0.6, "0.6"),
    (123456.75, "123456.75"),
    (1e-5, "0.00001"),
    (0.000012345, "0.000012345"),
    (1e-6, "0.000001"),
    (1.5e-6, "0.0000015"),
    (9.99e-7, "9.99e-7"),
    (1e-7, "1e-7"),
    (-1.25e-9, "-1.25e-9"),
    (5e-324, "5e-324"),
    (9007199254740992.0, "9007199254740992"),
    (1e16, "10000000000000000"),
    (1.2345678901234568e20, "123456789012345680000"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (1.5e21, "1.5e+21"),
    (1e100, "1e+100"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
]


@pytest.mark.parametrize(("value", "text"), FLOATS)
def test_a_float_has_the_same_text_alone_in_a_list_and_in_a_mapping(value: float, text: str) -> None:
    assert format_float(value) == text
    assert encode(value) == text.encode()
    assert encode([value, value]) == f"[{text},{text}]".encode()
    assert encode([value, "a"]) == f'[{text},"a"]'.encode()
    assert encode({"x": {"y": value}}) == f'{{"x":{{"y":{text}}}}}'.encode()


def test_floats_round_trip() -> None:
    rng = random.Random(1)
    for _ in range(5000):
        value = struct.unpack("d", rng.randbytes(8))[0]
        if math.isfinite(value):
            assert float(format_float(value)) == value
            assert [float(number) for number in json.loads(encode([value]))] == [value]


@pytest.mark.parametrize(("value", "text"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")])
def test_what_is_no_number_is_refused(value: float, text: str) -> None:
    with pytest.raises(UnsupportedValue, match=f"json: unsupported value: {text}".replace("+", r"\+")):
        encode({"x": value})
    for within in ([value], [1.5, value], array("f", [value]), array("f", [value] * 100), Float32(value)):
        with pytest.raises(UnsupportedValue):
            encode(within)


STRINGS = [
    ("plain", '"plain"'),
    ("<a> & b", r'"\u003ca\u003e \u0026 b"'),
    ("\u2028\u2029\u2027", '"\\u2028\\u2029\u2027"'),
    ("\b\f\n\r\t\x00\x1f\x7f", '"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f"'),
    ('"\\/', r'"\"\\/"'),
    ("é 😀", '"é 😀"'),
    ("a\ud800b", '"a\ufffdb"'),
    ("\udc00<", '"\ufffd\\u003c"'),
]


@pytest.mark.parametrize(("text", "expected"), STRINGS)
def test_strings_are_escaped_as_values_and_as_keys(text: str, expected: str) -> None:
    assert encode(text).decode() == expected
    assert encode({text: text}).decode() == f"{{{expected}:{expected}}}"
    assert encode({text: 0.5}).decode() == f"{{{expected}:0.5}}"


class Colour(StrEnum):
    RED = "red<"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        ([], "[]"),
        ({}, "{}"),
        ((1, (2.0, None)), "[1,[2,null]]"),
        (2**63, "9223372036854775808"),
        (-(2**80), "-1208925819614629174706176"),
        ([1, 2**70], "[1,1180591620717411303424]"),
        (b"\x00\xff", '"AP8="'),
        (Colour.RED, r'"red\u003c"'),
        ({"c": Colour.RED}, r'{"c":"red\u003c"}'),
        ({Colour.RED: 1.5}, r'{"red\u003c":1.5}'),
        (OrderedDict(b=1, a=2.5), '{"b":1,"a":2.5}'),
        (array("d", [0.1, 1.0]), "[0.1,1]"),
        (array("i", [1, 2]), "[1,2]"),
        ({"raw": Raw(b'{"x":1}'), "f": Float32(0.1)}, '{"raw":{"x":1},"f":0.1}'),
    ],
)
def test_values(value: object, expected: str) -> None:
    assert encode(value).decode() == expected


def test_mappings_keep_their_order_unless_sorting_is_asked_for() -> None:
    value = {"b": 1, "a": {"d": 0.5, "c": 2, "é": 3, "z": 4}, "B": [{"y": 1, "x": 2}]}
    assert encode(value).decode() == '{"b":1,"a":{"d":0.5,"c":2,"é":3,"z":4},"B":[{"y":1,"x":2}]}'
    assert encode_sorted(value).decode() == '{"B":[{"x":2,"y":1}],"a":{"c":2,"d":0.5,"z":4,"é":3},"b":1}'


def test_sorting_is_by_bytes_also_where_the_text_is_broken() -> None:
    keys = ["\U00010000", "\uffee", "a", "Z", "\ud800"]
    expected = sorted((key.replace("\ud800", "\ufffd") for key in keys), key=lambda key: key.encode())
    assert list(json.loads(encode_sorted(dict.fromkeys(keys, 1)))) == expected
    assert list(json.loads(encode_sorted(dict.fromkeys(keys, 1.5)))) == expected


@pytest.mark.parametrize("value", [object(), {1: 2}, {1: 2.5}, {"x": {1, 2}}, [1.5, object()]])
def test_other_types_are_a_mistake_of_the_caller(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_deep_values_are_written_as_any_other() -> None:
    value: object = 0.5
    for _ in range(3000):
        value = {"a": [value]}
    assert encode(value) == b'{"a":[' * 3000 + b"0.5" + b"]}" * 3000


FLOAT32 = [
    (0.1, "0.1"),
    (0.23076925, "0.23076925"),
    (1e-6, "0.000001"),
    (9.999999e-7, "9.999999e-7"),
    (1e-7, "1e-7"),
    (2**-20, "9.536743e-7"),
    (1e21, "1e+21"),
    (9.9999995e20, "999999950000000000000"),
    (16777216.0, "16777216"),
    (33554432.0, "33554432"),
    (123456790519087104.0, "123456790000000000"),
    (1.4e-45, "1e-45"),
    (-0.0, "-0"),
    (3.0, "3"),
    (10.0, "10"),
    (-100.5, "-100.5"),
]


@pytest.mark.parametrize(("value", "text"), FLOAT32)
def test_float32_has_its_shortest_form_alone_in_short_and_in_long_vectors(value: float, text: str) -> None:
    assert encode(Float32(value)) == text.encode()
    for n in (1, 2, 31, 32, 100):
        vector = array("f", [value] * n)
        expected = ("[" + ",".join([text] * n) + "]").encode()
        assert encode_float32(vector) == expected
        assert encode_float32(vector.tobytes()) == expected
        assert encode_float32(memoryview(vector)) == expected
        assert encode({"embedding": vector}) == b'{"embedding":' + expected + b"}"


def test_short_and_long_vectors_are_written_alike() -> None:
    rng = random.Random(2)
    exponents = [struct.unpack("f", struct.pack("I", exponent << 23))[0] for exponent in range(255)]
    drawn = [struct.unpack("f", rng.randbytes(4))[0] for _ in range(2000)]
    values = array("f", [value for value in (*exponents, *drawn) if math.isfinite(value)])
    one_by_one = b"[" + b",".join(encode_float32(array("f", [value]))[1:-1] for value in values) + b"]"
    assert encode_float32(values) == one_by_one
    assert array("f", json.loads(one_by_one)) == values


def test_an_empty_vector_is_an_empty_list() -> None:
    assert encode_float32(b"") == b"[]"


def test_an_embedding_answer_is_written_fast() -> None:
    vectors = [array("f", [math.sin(i * 768 + j) / 30 for j in range(768)]) for i in range(256)]
    encode(vectors[0])  # the import of numpy is not what is measured
    started = time.process_time()
    encode({"embeddings": vectors})
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (True, "true"),
        (None, "<nil>"),
        (7, "7"),
        (12345678, "12345678"),
        (999999.0, "999999"),
        (1000000.0, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (2097152.0, "2.097152e+06"),
        (123456.7, "123456.7"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e20, "1e+20"),
        (1e100, "1e+100"),
        (3.0, "3"),
        (0.0, "0"),
        (-0.0, "-0"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (Float32(0.1), "0.1"),
        (["a", 1.0, None], "[a 1 <nil>]"),
        ({"b": [1.5], "a": {"c": True}}, "map[a:map[c:true] b:[1.5]]"),
        ([], "[]"),
        ({}, "map[]"),
    ],
)
def test_the_v_verb(value: object, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("<eos>", '"<eos>"'),
        ('say "hi"\\', r'"say \"hi\"\\"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("é😀", '"é😀"'),
        ("\x80\u00a0\u200b\ufeff", r'"\u0080\u00a0\u200b\ufeff"'),
        ("\U000e0001\U0010ffff", r'"\U000e0001\U0010ffff"'),
        ("\ud800", '"\ufffd"'),
    ],
)
def test_the_q_verb(text: str, quoted: str) -> None:
    assert quote(text) == quoted


SECOND = 1_795_340_788  # 2026-11-22T09:46:28Z


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (SECOND * 10**9, "2026-11-22T09:46:28Z"),
        (SECOND * 10**9 + 107280022, "2026-11-22T09:46:28.107280022Z"),
        (SECOND * 10**9 + 120750870, "2026-11-22T09:46:28.12075087Z"),
        (SECOND * 10**9 + 1, "2026-11-22T09:46:28.000000001Z"),
        (SECOND * 10**9 + 500000000, "2026-11-22T09:46:28.5Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (SECOND * 10**9 + 2**63 - 1, "2319-03-04T09:33:44.854775807Z"),
    ],
)
def test_times_in_utc(ns: int, text: str) -> None:
    assert encode_time(ns, utc=True) == text


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> object:
    from registry import gojson

    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    gojson._second_text.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    gojson._second_text.cache_clear()


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2026-11-22T09:46:28.5Z"),
        ("EST5", "2026-11-22T04:46:28.5-05:00"),
        ("IST-5:30", "2026-11-22T15:16:28.5+05:30"),
        ("NST3:30", "2026-11-22T06:16:28.5-03:30"),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_times_with_the_local_offset(text: str) -> None:
    assert encode_time(SECOND * 10**9 + 500000000, utc=False) == text


def test_a_streamed_chunk_is_written_within_microseconds() -> None:
    chunk = {
        "model": "chat",
        "created_at": "2026-11-22T09:46:28.107280022Z",
        "message": {"role": "assistant", "content": " <hello>"},
        "done": False,
    }
    started = time.process_time()
    for _ in range(1000):
        encode(chunk)
    assert time.process_time() - started < 0.05
