"""The response object: what it says of the request, and the items of its output.

# Compat: http-api 8.6: everything that Ollama does not support is told as OpenAI's default.
"""

from __future__ import annotations

from typing import Any

from models.parsers.events import Delta, ToolCall, Usage
from registry.gojson import Raw, encode_sorted
from server.routes.openai.responses.schema import ResponseBody, TextFormatBody, ToolBody
from server.routes.tools import arguments_text
from server.routes.usage import has_details


def response_fields(
    body: ResponseBody,
    *,
    streamed: bool,
    id_text: str,
    created_s: int,
    status: str,
    output: list[Any] | None,
    usage: Usage | None,
    with_details: bool = False,
) -> dict[str, Any]:
    """All members in the order of OpenAI's; `completed_at`, `error` and the like are None."""
    wanted = body.text.format if body.text else None
    return {
        "id": id_text,
        "object": "response",
        "created_at": created_s,
        "completed_at": None,
        "status": status,
        "incomplete_details": None,
        "model": body.model,
        "previous_response_id": None,
        "instructions": body.instructions or None,
        "output": output,
        "error": None,
        "tools": [_tool_fields(tool, streamed=streamed) for tool in body.tools],
        "tool_choice": "auto" if body.tool_choice is None else body.tool_choice,
        "truncation": "disabled" if body.truncation is None else body.truncation,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "text": {"format": _format_fields(wanted) if wanted else {"type": "text"}},
        "top_p": 1 if body.top_p is None else body.top_p,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "temperature": 1 if body.temperature is None else body.temperature,
        "reasoning": _reasoning_fields(body, streamed=streamed),
        "usage": None if usage is None else _usage_fields(usage, with_details=with_details),
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "store": False,
        "background": body.background,
        "service_tier": "default",
        "metadata": {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


def _tool_fields(tool: ToolBody, *, streamed: bool) -> dict[str, Any]:
    """# Compat: the members of a namespace are not told in a stream."""
    found: dict[str, Any] = {
        "type": tool.type,
        "name": tool.name,
        "description": tool.description,
        "strict": tool.strict,
        "parameters": None if tool.parameters is None else Raw(encode_sorted(tool.parameters)),
    }
    if tool.tools and not streamed:
        found["tools"] = [_tool_fields(inner, streamed=False) for inner in tool.tools]
    return found


def _format_fields(wanted: TextFormatBody) -> dict[str, Any]:
    found: dict[str, Any] = {"type": wanted.type}
    if wanted.name:
        found["name"] = wanted.name
    if wanted.schema:
        found["schema"] = Raw(wanted.schema)
    if wanted.strict is not None:
        found["strict"] = wanted.strict
    return found


def _reasoning_fields(body: ResponseBody, *, streamed: bool) -> dict[str, str | None] | None:
    """# Compat: what was not said of it is null in a stream, and not told otherwise."""
    found = {"effort": body.reasoning.effort or None, "summary": body.reasoning.summary or None}
    said: dict[str, str | None] = {key: value for key, value in found.items() if value}
    return (found if streamed else said) if said else None


def _usage_fields(usage: Usage, *, with_details: bool) -> dict[str, Any]:
    """# Compat: Ollama tells neither what was cached nor what was thought; who gets to know is in `routes.usage`."""
    is_told = has_details(usage, wanted=with_details)
    return {
        "input_tokens": usage.n_prompt,
        "output_tokens": usage.n_generated,
        "total_tokens": usage.n_prompt + usage.n_generated,
        "input_tokens_details": {"cached_tokens": usage.n_cached if is_told else 0},
        "output_tokens_details": {"reasoning_tokens": usage.n_thinking if is_told else 0},
    }


# ---- items ---------------------------------------------------------------------------------------------------------


def output_items(delta: Delta, *, response_id: str, message_id: str) -> list[dict[str, Any]]:
    """Of a whole reply. # Compat: calls take the place of the text."""
    thoughts = [reasoning_item(f"rs_{response_id}", delta.thinking)] if delta.thinking else []
    if not delta.tool_calls:
        return [*thoughts, message_item(message_id, delta.content)]
    calls = (call_item(f"fc_{response_id}_{i}", call) for i, call in enumerate(delta.tool_calls))
    return [*thoughts, *calls]


def reasoning_item(id_text: str, text: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}]
    return {"id": id_text, "type": "reasoning", "summary": summary, "encrypted_content": text}


def message_item(id_text: str, text: str) -> dict[str, Any]:
    return {
        "id": id_text,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [text_part(text)],
    }


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(id_text: str, call: ToolCall) -> dict[str, Any]:
    return {
        "id": id_text,
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments_text(call),
    }
