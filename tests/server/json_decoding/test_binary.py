"""Base64 with the positions that Go reports."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.json_decoding.binary import decode_base64
from server.json_decoding.errors import Refused


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("not base64!!", 3),
        ("YWJ", 0),
        ("YWJjZ", 4),
        ("data:image/png;base64,AAAA", 4),
        ("zz zz", 2),
        ("=", 0),
        ("Y=", 1),
        ("YW=", 3),
        ("YW=x", 2),
        ("YW==YW==", 4),
        ("YWJ=x", 4),
        ("YW\n=\nx", 4),
        ("é", 0),
        ("YWJjé", 4),
        ("YW-_", 2),
    ],
)
def test_the_first_wrong_byte_is_named(text: str, position: int) -> None:
    with pytest.raises(Refused) as caught:
        decode_base64(text)
    assert str(caught.value) == f"illegal base64 data at input byte {position}"


@given(st.binary(max_size=40), st.integers(1, 9))
def test_line_breaks_are_ignored(data: bytes, width: int) -> None:
    text = base64.b64encode(data).decode()
    broken = "\r\n".join(text[i : i + width] for i in range(0, len(text), width))
    assert decode_base64(text) == decode_base64(broken) == data


def test_loose_bits_before_the_padding_are_accepted() -> None:
    assert decode_base64("YX==") == b"a"
