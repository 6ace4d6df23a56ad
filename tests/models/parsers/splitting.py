"""A reply must come to the same message however it is cut: whole, into characters, in two at every place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from models.parsers.events import Delta, StreamParser


@dataclass(frozen=True)
class Reply:
    content: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def parse(parser: StreamParser, pieces: Iterable[str]) -> Reply:
    deltas: list[Delta] = []
    for piece in pieces:
        deltas += parser.feed(piece)
    deltas += parser.finish()
    calls = [call for delta in deltas for call in delta.tool_calls]
    assert [call.index for call in calls] == list(range(len(calls)))
    return Reply(
        "".join(delta.content for delta in deltas),
        "".join(delta.thinking for delta in deltas),
        tuple((call.name, call.arguments) for call in calls),
    )


def splits(text: str) -> Iterable[list[str]]:
    yield [text]
    yield list(text)
    for i in range(1, len(text)):
        yield [text[:i], text[i:]]


def assert_reply(make_parser: Callable[[], StreamParser], text: str, expected: Reply) -> None:
    for pieces in splits(text):
        assert parse(make_parser(), pieces) == expected, pieces
