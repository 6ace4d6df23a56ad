"""Arguments and schemas nested hundreds deep come to a prompt or to a clear error, never to Python's own limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import BadRequest, ModelError
from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.go.rendering import GoTemplate
from models.templates.native import NativeModel, render_native
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.table import RENDERERS
from models.templates.schema import parse_message, parse_tool

TEMPLATES = sorted((Path(__file__).parent / "chat_templates").glob("*.jinja"))
GO = (
    "{{ .Tools }}{{ json .Messages }}",
    "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Arguments }}{{ range .Function.Arguments }}"
    '{{ . }}{{ json . }}{{ printf "%v %d" . . }}{{ html . }}{{ end }}{{ end }}{{ end }}',
    "{{ range .Tools }}{{ range $name, $p := .Function.Parameters.Properties }}{{ $p }}{{ toTypeScriptType $p }}"
    "{{ $p.Items }}{{ end }}{{ end }}{{ .Messages }}",
)
DEPTHS = (200, 3000)


def nested(wrap: Callable[[Any], Any], depth: int, core: Any = 1) -> Any:
    for _ in range(depth):
        core = wrap(core)
    return core


def schemas(depth: int) -> list[dict[str, Any]]:
    wraps: tuple[Callable[[Any], Any], ...] = (
        lambda inner: {"type": "object", "properties": {"a": inner}},
        lambda inner: {"type": "array", "items": inner},
        lambda inner: {"anyOf": [inner]},
    )
    return [nested(wrap, depth, {"type": "string"}) for wrap in wraps]


def chats(depth: int) -> list[Conversation]:
    values = [nested(lambda inner: [inner], depth), nested(lambda inner: {"a": inner}, depth)]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "", "properties": {"a": schema}}}}
             for schema in schemas(depth)]  # fmt: skip
    called = [Message("assistant", tool_calls=(ToolCall("f", {"a": value}, 0, "c"),)) for value in values]
    ends = (Message("tool", "r", tool_call_id="c"), Message("user", "x"))
    return [Conversation([Message("user", "x"), call, *ends], [tool], Think(True)) for call in called for tool in tools]


def render(write: Callable[[], str]) -> None:
    try:
        assert write()
    except ModelError as error:
        assert str(error)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", RENDERERS)
def test_a_renderer_writes_or_refuses_deep_values(name: str, depth: int) -> None:
    for chat in chats(depth):
        render(lambda chat=chat: RENDERERS[name].render(chat))  # type: ignore[misc]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("text", GO)
def test_a_go_template_writes_or_refuses_deep_values(text: str, depth: int) -> None:
    for chat in chats(depth):
        render(lambda chat=chat: GoTemplate(text).render(chat.messages, chat.tools, chat.think))  # type: ignore[misc]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_chat_template_writes_or_refuses_deep_values(path: Path, depth: int) -> None:
    model = NativeModel(path.read_text())
    for chat in chats(depth):
        render(lambda chat=chat: render_native(model, chat.messages, chat.tools, chat.think).text)  # type: ignore[misc]


def test_stored_messages_and_tools_nested_too_deeply_are_refused() -> None:
    arguments = {"a": nested(lambda inner: [inner], 3000)}
    with pytest.raises(BadRequest, match="exceeded max depth"):
        parse_message({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]})
    for schema in schemas(3000):
        with pytest.raises(BadRequest, match="exceeded max depth"):
            parse_tool({"function": {"name": "f", "parameters": {"properties": {"a": schema}}}})
