from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.errors import InvalidManifest
from registry.fields import Fields, decode_object


def test_names_match_in_any_case_and_the_last_one_counts() -> None:
    fields = decode_object(b'{"Digest":"a","DIGEST":"b"}')
    assert fields.text("digest") == "b"


def test_absent_and_null_members_are_empty() -> None:
    for fields in (decode_object(b"{}"), decode_object(b'{"x":null}')):
        assert fields.text("x") == ""
        assert fields.integer("x") == 0
        assert fields.texts("x") == ()
        assert fields.object("x") is None
        assert fields.objects("x") == ()
        assert fields.value("x") is None


def test_only_the_first_value_is_read_and_broken_utf8_is_replaced() -> None:
    assert decode_object(b' \n{"x":"a\xffb"} trailing').text("x") == "a\ufffdb"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"{",
        b'{"a":1',
        b"[]",
        b'"x"',
        b"null",
        b'{"a":NaN}',
        b'{"a":"\n"}',
        b"\xef\xbb\xbf{}",
        b"not json",
        b"[" * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
    ],
)
def test_anything_but_an_object_is_invalid(raw: bytes) -> None:
    with pytest.raises(InvalidManifest, match="invalid JSON"):
        decode_object(raw)


@pytest.mark.parametrize(
    ("raw", "read", "text"),
    [
        (b'{"x":1}', lambda f: f.text("x"), "x is not a string"),
        (b'{"x":"1"}', lambda f: f.integer("x"), "x is not a 64-bit integer"),
        (b'{"x":1.0}', lambda f: f.integer("x"), "x is not a 64-bit integer"),
        (b'{"x":true}', lambda f: f.integer("x"), "x is not a 64-bit integer"),
        (b'{"x":9223372036854775808}', lambda f: f.integer("x"), "x is not a 64-bit integer"),
        (b'{"x":["a",1]}', lambda f: f.texts("x"), "x is not a list of strings"),
        (b'{"x":"a"}', lambda f: f.texts("x"), "x is not a list"),
        (b'{"x":[]}', lambda f: f.object("x"), "x is not an object"),
        (b'{"x":[[]]}', lambda f: f.objects("x"), "x is not a list of objects"),
        (b'{"x":[{},{"y":{"z":1}}]}', lambda f: f.objects("x")[1].object("y").text("z"), "x[1].y.z is not a string"),
    ],
)
def test_a_member_of_another_type_is_named_with_its_path(
    raw: bytes, read: Callable[[Fields], object], text: str
) -> None:
    with pytest.raises(InvalidManifest) as caught:
        read(decode_object(raw))
    assert str(caught.value) == text
