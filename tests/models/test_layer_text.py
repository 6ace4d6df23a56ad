from __future__ import annotations

import pytest

from models.errors import InvalidLayer
from models.layer_text import parse_messages, parse_parameters


def test_parameters_and_messages_are_read() -> None:
    assert parse_parameters('{"stop":["a"],"temperature":0.5}') == {"stop": ["a"], "temperature": 0.5}
    assert parse_messages('[{"role":"user","content":"hi"},{}]') == ({"role": "user", "content": "hi"}, {})


def test_null_is_nothing() -> None:
    assert (parse_parameters("null"), parse_messages("null")) == ({}, ())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ('"x"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        ("", "params layer: Expecting value: line 1 column 1 (char 0)"),
        ("{", "params layer: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_parameters_that_are_no_object_are_refused(text: str, error: str) -> None:
    with pytest.raises(InvalidLayer) as refused:
        parse_parameters(text)
    assert (str(refused.value), refused.value.media_type) == (error, "params")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "json: cannot unmarshal object into Go value of type []api.Message"),
        ("[true]", "json: cannot unmarshal bool into Go value of type api.Message"),
        ('[{"role":1}]', "json: cannot unmarshal number into Go value of type string"),
        ('[{"role":"user","content":[]}]', "json: cannot unmarshal array into Go value of type string"),
    ],
)
def test_messages_that_are_none_are_refused(text: str, error: str) -> None:
    with pytest.raises(InvalidLayer) as refused:
        parse_messages(text)
    assert str(refused.value) == error


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(InvalidLayer):
        parse_parameters("[" * 100_000)
