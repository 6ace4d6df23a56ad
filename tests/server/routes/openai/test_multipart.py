"""Forms with files."""

from __future__ import annotations

import pytest

from server.routes.openai.multipart import InvalidForm, parse_form

TYPE = "multipart/form-data; boundary=b"


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def test_fields_and_files() -> None:
    audio = bytes(range(256)) + b"\r\n--bc\r\n--"
    body = field("model", b"m") + field("file", audio, '; filename="a.wav"') + field("model", b"other") + b"--b--\r\n"
    form = parse_form(TYPE, body)
    assert (form.values, form.files) == ({"model": "m"}, {"file": audio})


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n" + field("x", b"1") + b"--b--",
        field("x", b"1") + b"--b-- \r\nepilogue",
        field("x", b"1").replace(b"\r\n", b"\n") + b"--b--\n",
        b"--b\r\nCONTENT-DISPOSITION: form-data; name=x\r\nContent-Type: text/plain\r\n\r\n1\r\n--b--",
        b"--b\r\nContent-Disposition: attachment; name=y\r\n\r\n2\r\n" + field("x", b"1") + b"--b--",
    ],
)
def test_forms_that_are_written_otherwise(body: bytes) -> None:
    assert parse_form(TYPE, body).values == {"x": "1"}


def test_a_file_without_a_name_is_a_field() -> None:
    assert parse_form(TYPE, field("file", b"1", '; filename=""') + b"--b--").files == {}


def test_an_empty_file_is_a_file() -> None:
    assert parse_form(TYPE, field("file", b"", "; filename=a") + b"--b--").files == {"file": b""}


def test_a_boundary_may_be_quoted() -> None:
    body = field("x", b"1").replace(b"--b", b"--b c+") + b"--b c+--"
    assert parse_form('Multipart/Form-Data; charset=x; boundary="b c+"', body).values == {"x": "1"}


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("", b"", "request Content-Type isn't multipart/form-data"),
        ("application/json", b"{}", "request Content-Type isn't multipart/form-data"),
        ("multipart/form-data", b"", "no multipart boundary param in Content-Type"),
        (TYPE, b"", "multipart: NextPart: EOF"),
        (TYPE, b"nothing", "multipart: NextPart: EOF"),
        (TYPE, b"--b\r\n", "multipart: NextPart: EOF"),
        (TYPE, field("x", b"1"), "unexpected EOF"),
    ],
)
def test_what_is_no_form(content_type: str, body: bytes, text: str) -> None:
    with pytest.raises(InvalidForm) as caught:
        parse_form(content_type, body)
    assert str(caught.value) == text
