"""Whatever a body under /v1 holds, it is translated or refused; nothing else happens."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from server.errors import BadField
from server.json_decoding.containers import Struct
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.routes.anthropic import schema as anthropic
from server.routes.anthropic import translate as from_anthropic
from server.routes.anthropic.estimate import estimate_tokens
from server.routes.extras import adopt_options
from server.routes.openai import schema as openai
from server.routes.openai import translate as from_openai
from server.routes.openai.responses import schema as responses
from server.routes.openai.responses import translate as from_responses

WORDS = (
    *("model", "messages", "message", "role", "user", "assistant", "tool", "content", "type", "text", "input"),
    *("tools", "function", "name", "parameters", "properties", "type", "items", "anyOf", "arguments", "{}", "{", "[1]"),
    *("tool_calls", "tool_call_id", "id", "image_url", "url", "data:;base64,AAAA", "source", "base64", "data", "image"),
    *("input_text", "input_image", "input_audio", "function_call", "function_call_output", "output", "reasoning"),
    *("effort", "high", "none", "namespace", "web_search", "tool_use", "tool_result", "thinking", "system", "format"),
    *("json_schema", "schema", "response_format", "stop", "prompt", "encoding_format", "options", "keep_alive", "5m"),
    *("n", "best_of", "echo", "logprobs", "strict", "tool_choice", "required", "auto", "any", "allowed_tools", "mode"),
    *("grammar", "regex", "chat_template_kwargs", "enable_thinking", "reasoning_budget_tokens", "budget_tokens"),
    *("logit_bias", "5", "usage", "include", "truncation", "parallel_tool_calls", "max_completion_tokens", "top_k"),
)
SCALARS = (None, True, False, 0, -1, 5, 1.5, 1e30, "", "<é\0", *WORDS)


def some_value(chance: random.Random, depth: int) -> Any:
    kind = chance.random()
    if not depth or kind < 0.45:
        return chance.choice(SCALARS)
    if kind < 0.7:
        return [some_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(WORDS): some_value(chance, depth - 1) for _ in range(chance.randrange(6))}


def some_item(chance: random.Random) -> Any:
    """What may stand in a list of messages, items or tools: mostly nearly right."""
    item = some_value(chance, 3)
    if not isinstance(item, dict) or chance.random() < 0.2:
        return item
    content = chance.choice(("hi", some_value(chance, 3)))
    return {"type": chance.choice(WORDS), "role": "user", "content": content} | item


def some_body(chance: random.Random) -> dict[str, Any]:
    lists = {
        name: [some_item(chance) for _ in range(chance.randrange(1, 4))] for name in ("messages", "input", "tools")
    }
    fields = {chance.choice(WORDS): some_value(chance, 3) for _ in range(chance.randrange(4))}
    return {"model": "m", "max_tokens": 5} | {k: v for k, v in lists.items() if chance.random() < 0.5} | fields


TRANSLATIONS: list[tuple[Struct, Callable[[Any, int], object]]] = [
    (openai.CHAT, from_openai.to_chat_requests),
    (openai.COMPLETION, from_openai.to_generate_requests),
    (openai.EMBEDDING, from_openai.to_embed_request),
    (responses.RESPONSE, from_responses.to_chat_request),
    (anthropic.MESSAGES, from_anthropic.to_chat_request),
    (anthropic.MESSAGES, lambda body, _: estimate_tokens(body)),
]


@pytest.mark.parametrize(("struct", "translate"), TRANSLATIONS)
def test_a_body_is_translated_or_refused(struct: Struct, translate: Callable[[Any, int], object]) -> None:
    n_translated = 0
    for seed in range(1000):
        body = some_body(random.Random(seed))
        try:
            node = parse(orjson.dumps(body))
            asked = decode(struct, node)
            adopt_options(asked, struct.unknown_members(node))
            assert translate(asked, 0) is not None
            n_translated += 1
        except (DecodeError, BadField) as error:
            assert str(error)
        except Exception as error:
            pytest.fail(f"{body}: {error!r}")
    assert n_translated > 10
