from __future__ import annotations

import pytest

from registry.errors import InvalidManifest
from registry.gojson_errors import check_syntax


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected end of JSON input"),
        ("  ", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('{"a', "unexpected end of JSON input"),
        ('{"a":1,', "unexpected end of JSON input"),
        ("<html>", "invalid character '<' looking for beginning of value"),
        ("'x'", "invalid character '\\'' looking for beginning of value"),
        ("{1:2}", "invalid character '1' looking for beginning of object key string"),
        ('{"a";1}', "invalid character ';' after object key"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("é", "invalid character 'é' looking for beginning of value"),
    ],
)
def test_what_is_wrong_is_said_as_go_says_it(text: str, message: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        check_syntax(text.encode())
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["{}", " [1]\n", "null", '"x"', "1.5e3"])
def test_json_is_no_error(text: str) -> None:
    check_syntax(text.encode())
