"""From bodies of OpenAI's dialect to the internal requests: pure.

# Compat: http-api 8.2 to 8.4; Ollama openai/openai.go FromChatRequest, FromCompleteRequest 0.33.
"""

from __future__ import annotations

from typing import Any

from models.templates.chat import Think
from registry.gojson import quote
from server.requests import ChatRequest, EmbedRequest, GenerateRequest
from server.routes.checks import count_logprobs, parse_inputs, require_model
from server.routes.extras import extra_options, said
from server.routes.openai.messages import go_type_of, to_messages
from server.routes.openai.schema import ChatBody, CompletionBody, EmbeddingBody, ResponseFormatBody
from server.routes.tools import to_tool
from server.routes.v1 import Untranslatable

JSON_MODE = b'"json"'
_EFFORTS = {
    "none": Think(False),
    "minimal": Think(True, "low"),
    **{level: Think(True, level) for level in ("low", "medium", "high", "max")},
    "xhigh": Think(True, "max"),
    "ultra": Think(True, "max"),
}
_EFFORT_CHOICES = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'


# ---- chat ----------------------------------------------------------------------------------------------------------


def to_chat_request(body: ChatBody, arrived_ns: int) -> ChatRequest:
    """Raises: Untranslatable."""
    if not body.messages:
        raise Untranslatable("[] is too short - 'messages'")
    messages = to_messages(body.messages)
    effort = body.reasoning_effort if body.reasoning is None else body.reasoning.effort
    return ChatRequest(
        model=body.model,
        options=_chat_options(body),
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        format=_format(body.response_format),
        think=to_think(effort or "") or body.think,
        n_logprobs=body.top_logprobs if body.logprobs else None,
        debug_render_only=body.debug_render_only,
        messages=messages,
        tools=tuple(to_tool(tool) for tool in body.tools),
    )


def check_chat(body: ChatBody) -> None:
    """What the native handler would have to say. Raises: BadField."""
    count_logprobs(bool(body.logprobs), body.top_logprobs)
    require_model(body.model)


def _chat_options(body: ChatBody) -> dict[str, Any]:
    """# Compat: temperature and top_p are 1 unless the request says otherwise, whatever the model's parameters are."""
    named = {
        "stop": [entry for entry in _stops(body.stop) if isinstance(entry, str)] or None,
        "num_predict": body.max_tokens,
        "temperature": body.temperature,
        "seed": body.seed,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
        "top_p": body.top_p,
    }
    return {"temperature": 1.0, "top_p": 1.0} | extra_options(body) | said(named)


def _stops(value: Any) -> list[Any]:
    match value:
        case str():
            return [value]
        case list():
            return value
        case _:
            return []


def _format(wanted: ResponseFormatBody | None) -> bytes:
    match wanted.type.strip().lower() if wanted else "":
        case "json_object":
            return JSON_MODE
        case "json_schema" if wanted and wanted.json_schema:
            return wanted.json_schema.schema
        case _:
            return b""


def to_think(effort: str) -> Think | None:
    """How hard to think; None for an empty text. Raises: Untranslatable."""
    if not effort:
        return None
    think = _EFFORTS.get(effort)
    if think is None:
        raise Untranslatable(f"invalid reasoning value: {quote(effort)} (must be {_EFFORT_CHOICES})")
    return think


# ---- completions ---------------------------------------------------------------------------------------------------


def to_generate_request(body: CompletionBody, arrived_ns: int) -> GenerateRequest:
    """Raises: Untranslatable."""
    return GenerateRequest(
        model=body.model,
        options=_completion_options(body),
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        think=body.think,
        n_logprobs=body.logprobs if body.logprobs and body.logprobs > 0 else None,
        debug_render_only=body.debug_render_only,
        prompt=body.prompt,
        suffix=body.suffix,
    )


def check_completion(body: CompletionBody) -> None:
    """What the native handler would have to say. Raises: BadField."""
    count_logprobs(True, max(body.logprobs or 0, 0))


def _completion_options(body: CompletionBody) -> dict[str, Any]:
    """# Compat: the penalties, too, override the model's parameters, and a top_p of 0 means 1."""
    stops = _stops(body.stop)
    for entry in stops:
        if not isinstance(entry, str):
            raise Untranslatable(f"invalid type for 'stop' field: {go_type_of(entry)}")
    defaults = {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
    named = {
        "stop": stops or None,
        "num_predict": body.max_tokens,
        "temperature": body.temperature,
        "seed": body.seed,
        "frequency_penalty": body.frequency_penalty or None,
        "presence_penalty": body.presence_penalty or None,
        "top_p": body.top_p or None,
    }
    return defaults | extra_options(body) | said(named)


# ---- embeddings ----------------------------------------------------------------------------------------------------

ENCODINGS = ("float", "base64")


def to_embed_request(body: EmbeddingBody, arrived_ns: int) -> EmbedRequest:
    """Raises: Untranslatable, BadField."""
    if body.encoding_format and body.encoding_format.lower() not in ENCODINGS:
        text = f"Invalid value for 'encoding_format' = {body.encoding_format}. Supported values: ['float', 'base64']."
        raise Untranslatable(text)
    if body.input is None or body.input == []:
        raise Untranslatable("invalid input")
    return EmbedRequest(
        model=body.model,
        options=extra_options(body),
        keep_alive_ns=body.keep_alive,
        arrived_ns=arrived_ns,
        inputs=("",) if body.input == "" else parse_inputs(body.input),
        dimensions=body.dimensions,
    )
