from __future__ import annotations

import io
from pathlib import Path

import pytest

from server.cli.attachments import MAX_BYTES, find_paths, take_attachments
from server.cli.environment import Environment
from server.cli.errors import CliError
from server.cli.sniffing import content_type
from server.cli.terminal import Output
from server.settings import Host

PNG, WAV = b"\x89PNG\r\n\x1a\n...", b"RIFF\x24\x00\x00\x00WAVEfmt "


@pytest.fixture
def out(tmp_path: Path) -> Output:
    return Output(io.StringIO(), io.StringIO(), io.StringIO(), Environment(Host(), tmp_path))


def complained(out: Output) -> str:
    assert isinstance(out.stderr, io.StringIO)
    return out.stderr.getvalue()


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("look at /a/b.png please", ["/a/b.png"]),
        ("./a.JPG and /b.webp", ["./a.JPG", "/b.webp"]),
        (r"/my\ cat.jpeg", [r"/my\ cat.jpeg"]),
        ("/my cat.jpeg", ["/my cat.jpeg"]),
        (r"C:\pictures\cat.png", [r"C:\pictures\cat.png"]),
        ("'/a/b.wav'", ["/a/b.wav"]),
        ("cat.png", []),
        ("/a/b.pngx /a/b.gif", []),
        ("either/or", []),
    ],
)
def test_paths_are_recognised_in_a_text(text: str, paths: list[str]) -> None:
    assert find_paths(text) == paths


def test_files_that_exist_are_taken_out_of_the_text(tmp_path: Path, out: Output) -> None:
    picture, sound = tmp_path / "a (1).png", tmp_path / "b.wav"
    picture.write_bytes(PNG)
    sound.write_bytes(WAV)
    escaped = str(picture).replace(" ", "\\ ").replace("(", "\\(").replace(")", "\\)")
    text, contents = take_attachments(f"What is {escaped} or '{sound}' or /none.png?", out)
    assert (text, contents) == ("What is  or  or /none.png?", [PNG, WAV])
    assert complained(out) == f"Added image '{picture}'\nAdded audio '{sound}'\n"


def test_a_file_of_another_kind_is_refused(tmp_path: Path, out: Output) -> None:
    fake = tmp_path / "a.png"
    fake.write_text("text")
    with pytest.raises(CliError, match=r"^invalid file type: text/plain$"):
        take_attachments(str(fake), out)
    assert complained(out) == 'Couldn\'t process file: "invalid file type: text/plain"\n'


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, out: Output) -> None:
    large = tmp_path / "a.png"
    with large.open("wb") as file:
        file.write(PNG)
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(CliError, match=r"^file size exceeds maximum limit \(100MB\)$"):
        take_attachments(str(large), out)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "text/plain"),
        (b'{"a": 1}', "text/plain"),
        ("grüß".encode(), "text/plain"),
        (b"\xff\xfea\x00", "text/plain"),
        (b"\xef\xbb\xbf{}", "text/plain"),
        (b"tab\tand\x1b[0m", "text/plain"),
        (b"GGUF\x03\x00\x00\x00", "application/octet-stream"),
        (b"\x80\x02}", "application/octet-stream"),
        (b"PK\x03\x04rest", "application/zip"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (WAV, "audio/wave"),
        (b"  <!DOCTYPE HTML>", "text/html"),
        (b"<html>", "text/html"),
        (b"<htmlx>", "text/plain"),
        (b"\n<?xml version", "text/xml"),
        (b"%PDF-1.4", "application/pdf"),
        (b"x" * 512 + b"\x00", "text/plain"),
    ],
)
def test_the_first_bytes_tell_what_a_file_is(head: bytes, kind: str) -> None:
    assert content_type(head) == kind
