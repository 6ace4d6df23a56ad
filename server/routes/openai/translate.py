"""From bodies of OpenAI's dialect to the internal requests: pure.

# Compat: http-api 8.2 to 8.4; Ollama openai/openai.go FromChatRequest, FromCompleteRequest 0.33.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.templates.chat import Think
from registry.gojson import quote
from server.requests import ChatRequest, EmbedRequest, GenerateRequest
from server.routes.checks import count_logprobs, parse_inputs, require_model
from server.routes.extras import extra_members, extra_options, extra_think, said
from server.routes.openai.choices import count_choices
from server.routes.openai.formats import JSON_MODE, named_schema
from server.routes.openai.messages import go_type_of, to_messages
from server.routes.openai.schema import ChatBody, CompletionBody, EmbeddingBody, Prompt, ResponseFormatBody
from server.routes.openai.tool_choice import read_tool_choice
from server.routes.tools import to_tool
from server.routes.v1 import Untranslatable

_EFFORTS = {
    "none": Think(False),
    "minimal": Think(True, "low"),
    **{level: Think(True, level) for level in ("low", "medium", "high", "max")},
    "xhigh": Think(True, "max"),
    "ultra": Think(True, "max"),
}
_EFFORT_CHOICES = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'


# ---- chat ----------------------------------------------------------------------------------------------------------


def to_chat_requests(body: ChatBody, arrived_ns: int) -> list[ChatRequest]:
    """One for each choice. Raises: Untranslatable, BadField."""
    request = to_chat_request(body, arrived_ns)
    return [request, *(replace(request, variant=i) for i in range(1, count_choices(body.n)))]


def to_chat_request(body: ChatBody, arrived_ns: int) -> ChatRequest:
    """Raises: Untranslatable, BadField."""
    if not body.messages:
        raise Untranslatable("[] is too short - 'messages'")
    messages = to_messages(body.messages)
    effort = body.reasoning_effort if body.reasoning is None else body.reasoning.effort
    tools, choice = read_tool_choice(body.tool_choice, [to_tool(tool) for tool in body.tools])
    return ChatRequest(
        **extra_members(body, _format(body.response_format)),
        model=body.model,
        options=_chat_options(body),
        arrived_ns=arrived_ns,
        think=to_think(effort or "") or extra_think(body),
        n_logprobs=body.top_logprobs if body.logprobs else None,
        debug_render_only=body.debug_render_only,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls is not False,
    )


def check_chat(body: ChatBody) -> None:
    """What the native handler would have to say. Raises: BadField."""
    count_logprobs(bool(body.logprobs), body.top_logprobs)
    require_model(body.model)


def _chat_options(body: ChatBody) -> dict[str, Any]:
    """# Compat: temperature and top_p are 1 unless the request says otherwise, whatever the model's parameters are."""
    named = {
        "stop": [entry for entry in _stops(body.stop) if isinstance(entry, str)] or None,
        "num_predict": _limit(body),
        "temperature": body.temperature,
        "seed": body.seed,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
        "top_p": body.top_p,
    }
    return {"temperature": 1.0, "top_p": 1.0} | extra_options(body) | said(named)


def _limit(body: ChatBody) -> int | None:
    """The newer name wins."""
    if body.max_completion_tokens is None:
        return body.max_tokens
    if body.max_completion_tokens < 1:
        raise Untranslatable("max_completion_tokens must be at least 1")
    return body.max_completion_tokens


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
            named = wanted.json_schema
            return named_schema(named.schema, named.name, strict=named.strict is True)
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


MAX_TOKENS = 2**31
"""No vocabulary is as large."""

# ---- completions ---------------------------------------------------------------------------------------------------


def to_generate_requests(body: CompletionBody, arrived_ns: int) -> list[GenerateRequest]:
    """One for each candidate of each prompt, prompt after prompt. Raises: Untranslatable, BadField."""
    n_candidates = count_candidates(body)
    count_choices(n_candidates * len(body.prompt), "prompts times n")
    shared = GenerateRequest(
        **extra_members(body, b""),
        model=body.model,
        options=_completion_options(body),
        arrived_ns=arrived_ns,
        think=extra_think(body),
        n_logprobs=_completion_logprobs(body, is_choosy=n_candidates > count_choices(body.n)),
        debug_render_only=body.debug_render_only,
        suffix=body.suffix,
    )
    if scores_prompt(body):
        shared = _scored(shared, is_choosy=n_candidates > count_choices(body.n))
    return [replace(_with_prompt(shared, p), variant=i) for p in body.prompt for i in range(n_candidates)]


def _with_prompt(request: GenerateRequest, prompt: Prompt) -> GenerateRequest:
    if isinstance(prompt, str):
        return replace(request, prompt=prompt)
    if request.suffix:
        raise Untranslatable("a prompt of tokens cannot have a suffix")
    if not all(0 <= token < MAX_TOKENS for token in prompt):
        raise Untranslatable("a prompt has numbers that are no ids of tokens")
    return replace(request, prompt_tokens=prompt, raw=True)


def count_candidates(body: CompletionBody) -> int:
    """Replies to each prompt, the best of which are told. Raises: Untranslatable."""
    n, best_of = count_choices(body.n), count_choices(body.best_of, "best_of")
    if body.best_of is None:
        return n
    if best_of < n:
        raise Untranslatable("best_of must not be less than n")
    if best_of > n and body.stream:
        raise Untranslatable("best_of cannot be streamed: which reply is best is known at the end")
    return best_of


def _completion_logprobs(body: CompletionBody, *, is_choosy: bool) -> int | None:
    if body.logprobs is None or body.logprobs < 0:
        return 0 if is_choosy else None
    return body.logprobs


def scores_prompt(body: CompletionBody) -> bool:
    """Whether the log-probabilities of the prompt's tokens are wanted."""
    return body.echo and body.logprobs is not None and body.logprobs >= 0


def _scored(request: GenerateRequest, *, is_choosy: bool) -> GenerateRequest:
    """With the prompt as it is: log-probabilities of a template or of what is left of it would tell nothing.

    Raises: Untranslatable.
    """
    if request.suffix:
        raise Untranslatable("a prompt whose logprobs are wanted cannot have a suffix")
    if is_choosy:
        raise Untranslatable("best_of cannot be combined with echo and logprobs")
    return replace(request, raw=True, truncate=False, scores_prompt=True)


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
        inputs=("",) if body.input == "" else _inputs(body.input),
        dimensions=body.dimensions,
    )


def _inputs(value: Any) -> tuple[str | tuple[int, ...], ...]:
    """Texts, or token ids: of one input, or of several. Raises: BadField."""
    if not isinstance(value, list):
        return parse_inputs(value)
    several = [value] if _are_tokens(value) else value
    if all(map(_are_tokens, several)):
        return tuple(map(tuple, several))
    return parse_inputs(value)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
