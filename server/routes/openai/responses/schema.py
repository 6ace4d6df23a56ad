"""The body of a request for a response, apart from its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.json_decoding.containers import Custom, Later, Map, Pointer, Slice, Struct
from server.json_decoding.kinds import Kind, member
from server.json_decoding.scalars import ANY, BOOL, FLOAT64, INT, RAW, STRING
from server.routes.extras import ExtraTextFields
from server.routes.openai.responses.items import Item, read_input


def _tool_kind() -> Kind:
    return TOOL


@dataclass(slots=True)
class ToolBody:
    """`tools` are the members of a namespace."""

    type: str = member(STRING)
    name: str = member(STRING)
    description: str | None = member(Pointer(STRING))
    strict: bool | None = member(Pointer(BOOL))
    parameters: dict[str, Any] | None = member(Pointer(Map(ANY)))
    tools: list[ToolBody] = member(Slice(Later("openai.ResponsesTool", _tool_kind)))


TOOL = Struct("openai.ResponsesTool", ToolBody)


@dataclass(slots=True)
class ReasoningBody:
    effort: str = member(STRING)
    generate_summary: str = member(STRING)
    summary: str = member(STRING)


@dataclass(slots=True)
class TextFormatBody:
    type: str = member(STRING)
    name: str = member(STRING)
    schema: bytes = member(RAW)
    strict: bool | None = member(Pointer(BOOL))


@dataclass(slots=True)
class TextBody:
    format: TextFormatBody | None = member(Pointer(Struct("openai.ResponsesTextFormat", TextFormatBody)))


@dataclass(slots=True)
class ResponseBody(ExtraTextFields):
    model: str = member(STRING)
    background: bool = member(BOOL)
    include: list[str] = member(Slice(STRING))
    input: str | list[Item] | None = member(Custom("openai.ResponsesInput", read_input))
    instructions: str = member(STRING)
    max_output_tokens: int | None = member(Pointer(INT))
    reasoning: ReasoningBody = member(Struct("openai.ResponsesReasoning", ReasoningBody))
    temperature: float | None = member(Pointer(FLOAT64))
    text: TextBody | None = member(Pointer(Struct("openai.ResponsesText", TextBody)))
    top_p: float | None = member(Pointer(FLOAT64))
    truncation: str | None = member(Pointer(STRING))
    tools: list[ToolBody] = member(Slice(TOOL))
    stream: bool | None = member(Pointer(BOOL))
    # Fields of OpenAI's that Ollama ignores
    tool_choice: Any = member(ANY)
    parallel_tool_calls: bool | None = member(Pointer(BOOL))


RESPONSE = Struct("openai.ResponsesRequest", ResponseBody)
