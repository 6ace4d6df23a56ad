"""What happens to messages on their way into a prompt: schema, collation, images, shortening, old thoughts."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import BadRequest
from models.templates.chat import Message, Think
from models.templates.collation import collate
from models.templates.history import without_leading_bos, without_old_thoughts, without_oldest
from models.templates.images import ImageTags, tag_images
from models.templates.media import audio_format, image_type, media_kind
from models.templates.schema import parse_message, parse_think, parse_tool, types_of

SYSTEM, USER, ASSISTANT = Message("system", "S"), Message("user", "U"), Message("assistant", "A")


def test_a_message_is_read_without_regard_to_case_and_unknown_members_are_dropped() -> None:
    raw = {"Role": "USER", "CONTENT": "x", "images": ["aQ=="], "foo": 1, "tool_calls": [{"function": {"name": "f"}}]}
    message = parse_message(raw)
    assert (message.role, message.content, message.images) == ("user", "x", (b"i",))
    assert message.tool_calls[0].arguments == {}
    assert parse_message(None) == Message("")


def test_a_tool_keeps_only_known_members_in_their_order() -> None:
    raw: dict[str, Any] = {"function": {"parameters": {
        "properties": {"b": {"default": 1, "description": "", "enum": [], "type": ["string"]},
                       "a": {"items": {"z": 1, "a": 2}, "anyOf": [{"type": "null", "x": 1}], "required": []}},
        "required": ["b"], "additionalProperties": False, "type": "object"}, "strict": True, "name": "f"},
        "type": "function"}  # fmt: skip
    tool = parse_tool(raw)
    assert list(tool) == ["type", "function"] and list(tool["function"]) == ["name", "parameters"]
    parameters = tool["function"]["parameters"]
    assert list(parameters) == ["type", "required", "properties"]
    assert parameters["properties"] == {
        "b": {"type": "string"}, "a": {"anyOf": [{"type": "null"}], "items": {"a": 2, "z": 1}}}  # fmt: skip
    assert list(parameters["properties"]) == ["b", "a"]
    assert parse_tool(tool) == tool
    assert parse_tool({}) == {"type": "", "function": {"name": "", "parameters": {"type": "", "properties": None}}}


def test_the_types_of_a_property_are_those_of_its_alternatives() -> None:
    assert types_of({"type": "string", "anyOf": [{"type": ["null", "integer"]}, {"type": "array"}]}) == (
        "null", "integer", "array")  # fmt: skip
    assert types_of({"type": "string"}) == ("string",) and types_of({}) == ()


@pytest.mark.parametrize(("raw", "think"), [
    (None, None), (True, Think(True)), (False, Think(False)), ("max", Think(True, "max"))])  # fmt: skip
def test_think_is_a_switch_or_a_level(raw: Any, think: Think | None) -> None:
    assert parse_think(raw) == think


@pytest.mark.parametrize(("raw", "message"), [
    ("x", 'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)'),
    (1, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)')])  # fmt: skip
def test_any_other_think_is_refused(raw: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_think(raw)
    assert str(caught.value) == message


def test_neighbours_of_one_role_are_joined_except_results_of_tools() -> None:
    tool = Message("tool", "r", tool_name="f")
    system, messages = collate([SYSTEM, SYSTEM, USER, Message("user", "V", images=(b"i",)), tool, tool, SYSTEM])
    assert system == "S\n\nS\n\nS"
    assert [(m.role, m.content) for m in messages] == [
        ("system", "S\n\nS"), ("user", "U\n\nV"), ("tool", "r"), ("tool", "r"), ("system", "S")]  # fmt: skip


def test_images_are_marked_where_they_are_asked_for_or_in_front() -> None:
    first = Message("user", "a [img] b", images=(b"1", b"2"))
    tagged, media = tag_images([first, ASSISTANT, Message("user", "c", images=(b"3",))])
    assert [m.content for m in tagged] == ["[img-1]a [img-0] b", "A", "[img-2]c"]
    assert media == (b"1", b"2", b"3")


@pytest.mark.parametrize(("content", "count", "tagged"), [
    ("hi", 0, "hi"), ("hi", 1, "[img-2] hi"), ("\nhi", 1, "[img-2]\nhi"), ("", 1, "[img-2]"),
    ("see [img-0]", 1, "see [img-0]"), ("a [img]", 2, "[img-3] a [img-2]")])  # fmt: skip
def test_a_renderer_numbers_images_over_all_messages(content: str, count: int, tagged: str) -> None:
    tags = ImageTags()
    tags.tagged("x", 2)
    assert tags.tagged(content, count) == tagged
    assert tags.n_tagged == 2 + count


def test_the_oldest_messages_go_first_and_system_messages_stay() -> None:
    chat = (USER, SYSTEM, ASSISTANT, USER)
    assert [without_oldest(chat, n) for n in range(4)] == [chat, chat[1:], chat[1:], (SYSTEM, USER)]
    assert without_oldest([], 0) == ()


def test_old_thoughts_are_dropped_for_the_families_that_expect_it() -> None:
    answer = Message("assistant", "<think>t</think>a")
    chat = (USER, answer, USER, answer)
    shown = [m.content for m in without_old_thoughts(chat, "qwen3", "x")]
    assert shown == ["U", "a", "U", "<think>t</think>a"]
    assert without_old_thoughts(chat, "llama", "deepseek-r1") == without_old_thoughts(chat, "qwen3", "x")
    assert without_old_thoughts(chat, "llama", "x") == chat
    assert without_old_thoughts((answer,), "qwen3", "x") == (answer,)


@pytest.mark.parametrize(("leading", "adds_bos", "prompt"), [
    ("<s>", False, "<s><bos>x"), ("<s>", True, "<bos>x"), ("", True, "<s><bos>x")])  # fmt: skip
def test_the_first_token_is_not_given_twice(leading: str, adds_bos: bool, prompt: str) -> None:
    assert without_leading_bos("<s><bos>x", leading, adds_bos=adds_bos) == prompt
    assert without_leading_bos("<bos>x", "<s>", adds_bos=True) == "x"


MEDIA = [
    (b"RIFF0000WAVEfmt ", "audio"),
    (b"ID3\x04", "audio"),
    (b"\xff\xfb\x90", "audio"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff\xe0", "image"),
    (b"GIF89a", "image"),
    (b"RIFF0000WEBPVP8 ", "image"),
    (b"hello", ""),
    (b"", ""),
]


@pytest.mark.parametrize(("data", "kind"), MEDIA)
def test_media_are_known_by_their_first_bytes(data: bytes, kind: str) -> None:
    assert media_kind(data) == kind


def test_formats_and_types_are_told() -> None:
    assert audio_format(b"RIFF0000WAVE") == "wav" and audio_format(b"ID3") == "mp3"
    assert image_type(b"RIFF0000WEBPVP8 ") == "image/webp" and image_type(b"\xff\xd8\xff") == "image/jpeg"
