"""Pieces become text: whole characters, and nothing that may still become a stop string."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest

from models.engine.detokenizer import Detokenizer, ends_within_character

TEXT = "Grüße 😀 ok… e\u0301 漢字"


def splits(raw: bytes, n_cuts: int) -> Iterator[list[bytes]]:
    """The bytes cut at every choice of `n_cuts` places."""
    for cuts in itertools.combinations(range(1, len(raw)), n_cuts):
        edges = [0, *cuts, len(raw)]
        yield [raw[a:b] for a, b in itertools.pairwise(edges)]


def run(pieces: Sequence[bytes], *stops: str) -> tuple[list[bytes], bool]:
    """What is released for the pieces, and whether a stop string ended the text; an end token follows."""
    detokenizer = Detokenizer(stops)
    released = []
    for piece in pieces:
        text, stopped = detokenizer.feed(piece)
        released.append(text)
        if stopped:
            return released, True
    return [*released, detokenizer.feed(b"", is_end=True).text], False


def test_characters_are_released_whole_at_every_split() -> None:
    raw = TEXT.encode()
    for pieces in [*splits(raw, 1), *splits(raw, 2), [bytes([byte]) for byte in raw]]:
        released, stopped = run(pieces)
        assert b"".join(released) == raw and not stopped
        for part in released:
            part.decode()  # raises for half a character


def test_a_stop_string_is_found_at_every_split() -> None:
    raw = "alpha ÄND beta".encode()
    for pieces in [*splits(raw, 1), *splits(raw, 2), [bytes([byte]) for byte in raw]]:
        released, stopped = run(pieces, "ÄND")
        assert b"".join(released) == b"alpha " and stopped


def test_text_that_only_begins_like_a_stop_string_is_released_when_that_is_clear() -> None:
    released, stopped = run([b"a", b" E", b"N", b"d", b"."], "END")
    assert released == [b"a", b"", b"", b" ENd", b".", b""] and not stopped


def test_the_end_releases_what_was_held_back() -> None:
    assert run([b"tail EN"], "END") == ([b"", b"tail EN"], False)


def test_all_unsent_text_is_held_back_not_only_the_beginning_of_the_stop_string() -> None:
    # Compat: llama.cpp's server; recorded as: "alpha E", then " beta" completes "D b" and releases "N"
    assert run([b"alpha E", b"ND", b" beta"], "D b") == ([b"alpha E", b"", b"N"], True)


def test_half_a_character_at_the_end_is_dropped() -> None:
    assert run([b"ok", b"\xf0\x9f"]) == ([b"ok", b"", b""], False)


def test_invalid_bytes_do_not_hold_anything_back() -> None:
    assert run([b"\xff", b"a\x80\x80\x80", b"b"])[0] == [b"\xff", b"a\x80\x80\x80", b"b", b""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", False),
        (b"a", False),
        (b"\xc3", True),
        (b"\xc3\xbc", False),
        (b"\xe2\x80", True),
        (b"\xe2\x80\xa6", False),
        (b"\xf0\x9f\x98", True),
        (b"\xf0\x9f\x98\x80", False),
        (b"\x80\x80\x80\x80", False),
        (b"a\xf8", False),
    ],
)
def test_a_character_that_lacks_bytes_is_noticed(text: bytes, expected: bool) -> None:
    assert ends_within_character(text) is expected
