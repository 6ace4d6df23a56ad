from __future__ import annotations

import pytest

from models.parsers.errors import ParserError
from models.parsers.harmony import HarmonyParser, Header
from models.parsers.harmony_names import HarmonyNames
from models.parsers.steps import Expectations
from models.templates.chat import Message
from tests.models.parsers.reading import Read, read

TOOLS = Expectations([{"type": "function", "function": {"name": "get-time", "parameters": {}}}])
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"

REPLIES = [
    (f"{ANALYSIS} a <|end|>{FINAL} b ", Read(" b ", " a ")),
    (f"{ANALYSIS}a<|end|> dropped {FINAL}b<|end|>", Read("b", "a")),
    (f"{ANALYSIS}a<|en{FINAL}", Read("", f"a<|en{FINAL}")),
    ("<|channel|>commentary<|message|>a<|end|>", Read("a")),
    ("<|channel|>other<|message|>a<|end|>", Read("a")),
    (
        f"{ANALYSIS}a<|end|><|start|>assistant<|channel|>commentary to=functions.get_time <|constrain|>json<|message|>"
        '{"zone": "CET"}',
        Read("", "a", (("get-time", {"zone": "CET"}),)),
    ),
    ("<|channel|>analysis to=python<|message|>{}", Read("", "", (("python", {}),))),
    (" to=functions.f<|channel|>commentary<|message|>{}<|end|>", Read("", "", (("f", {}),))),
]


@pytest.mark.parametrize(("text", "expected"), REPLIES)
def test_a_reply_is_read_however_it_is_cut(text: str, expected: Read) -> None:
    for runs in ([text], text, *([text[:i], text[i:]] for i in range(1, len(text)))):
        assert read(HarmonyParser(TOOLS), runs) == expected


@pytest.mark.parametrize("arguments", ["", "{", "[]", "{}{}"])
def test_arguments_that_are_no_object_end_the_reply(arguments: str) -> None:
    parser = HarmonyParser(TOOLS)
    parser.add(f"<|channel|>commentary to=functions.f<|message|>{arguments}", False)
    with pytest.raises(ParserError, match="error parsing tool call: raw="):
        parser.add("", True)


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        (Message("assistant", "So"), Read("a")),
        (Message("assistant", thinking="Hm"), Read("", "a")),
        (Message("assistant"), Read()),
        (Message("tool", "So"), Read()),
    ],
)
def test_what_the_prompt_has_begun_is_continued(begun: Message, expected: Read) -> None:
    assert read(HarmonyParser(Expectations(last_message=begun)), ["a<|end|>"]) == expected


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("assistant<|channel|>final", Header("assistant", "final")),
        (" assistant  to=f\t<|channel|>commentary json", Header("assistant", "commentary", "f")),
        ("<|channel|>commentary to=f<|constrain|>json", Header("tool", "commentary", "f")),
        ("tool x to=f", Header("tool")),
        ("", Header("")),
    ],
)
def test_headers_are_read(text: str, header: Header) -> None:
    assert Header.parse(text) == header


def test_tools_get_names_that_the_format_can_say() -> None:
    names = HarmonyNames(["a b", "a-b", "1a", "é!", "", "?", "python", "browser.find", "browser.x", "٣"])
    assert names.converted == ("a_b", "a_b_2", "_1a", "é", "", "unnamed", "python", "browser.find", "browser_x", "٣")
    assert [names.original(name) for name in ("a_b_2", "unnamed", "zzz")] == ["a-b", "?", "zzz"]


def test_renamed_tools_keep_all_else() -> None:
    tools = [{"type": "function", "function": {"name": "a b", "description": "d"}}]
    assert HarmonyNames(["a b"]).renamed(tools) == [
        {"type": "function", "function": {"name": "a_b", "description": "d"}}
    ]
