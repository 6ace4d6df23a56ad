"""An OpenAPI description of the HTTP API, from the declarations of its bodies: what a generator of requests needs.

The server itself has none to give: Ollama answers 404 for `/openapi.json`.
"""

from __future__ import annotations

from typing import Any

from server.app import routes
from server.json_decoding import containers, scalars
from server.json_decoding.containers import Struct
from server.json_decoding.kinds import Kind
from server.routes.anthropic.schema import MESSAGES as ANTHROPIC_MESSAGES
from server.routes.native import schema as native
from server.routes.openai import schema as openai
from server.routes.openai.responses.schema import RESPONSE
from server.routes.values import KEEP_ALIVE, OPTIONS, THINK

Schema = dict[str, Any]
BODIES: dict[tuple[str, str], Struct] = {
    ("POST", "/api/generate"): native.GENERATE,
    ("POST", "/api/chat"): native.CHAT,
    ("POST", "/api/embed"): native.EMBED,
    ("POST", "/api/embeddings"): native.EMBEDDING,
    ("POST", "/api/show"): native.SHOW,
    ("POST", "/api/copy"): native.COPY,
    ("DELETE", "/api/delete"): native.DELETE,
    ("POST", "/api/pull"): native.PULL,
    ("POST", "/api/push"): native.PUSH,
    ("POST", "/api/create"): native.CREATE,
    ("POST", "/v1/chat/completions"): openai.CHAT,
    ("POST", "/v1/completions"): openai.COMPLETION,
    ("POST", "/v1/embeddings"): openai.EMBEDDING,
    ("POST", "/v1/responses"): RESPONSE,
    ("POST", "/v1/messages"): ANTHROPIC_MESSAGES,
    ("POST", "/v1/messages/count_tokens"): ANTHROPIC_MESSAGES,
}
_OPTIONS: Schema = {
    "type": "object",
    "properties": {
        "num_predict": {"type": "integer", "maximum": 16},
        "num_ctx": {"enum": [0, 4, 256, "x"]},
        "temperature": {"type": "number"},
        "stop": {"type": "array", "items": {"type": "string"}},
        "seed": {"type": "integer"},
        "top_k": {"type": "integer"},
        "repeat_last_n": {"type": "integer"},
    },
}
_TEXT: Schema = {"type": "string", "maxLength": 40}
_FIELDS: dict[str, Schema] = {
    "role": {"anyOf": [{"enum": ["user", "assistant", "system", "tool", "developer"]}, _TEXT]},
    "content": {"anyOf": [_TEXT, {"const": [{"type": "text", "text": "count"}]}, {}]},
    "input": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": 3}, {}]},
    "prompt": {"anyOf": [_TEXT, {"enum": ["count", "forecast", "json", "ponder"]}]},
    "format": {"enum": [None, "json", {"type": "object", "properties": {"a": {"type": "integer"}}}, "x"]},
    "max_tokens": {"type": "integer", "maximum": 16},
    "max_output_tokens": {"type": "integer", "maximum": 16},
}
"""What is declared as any value, or as any text, and would hardly ever be a sensible one."""
_SPECIAL: dict[int, Schema] = {
    id(KEEP_ALIVE): {"enum": [0, -1, 5, 1.5, "5m", "0", "1h30m", "x", None]},
    id(THINK): {"enum": [True, False, "high", "weird", None]},
    id(OPTIONS): _OPTIONS,
}


def describe(models: tuple[str, ...]) -> Schema:
    """All routes; fields that name a model prefer these."""
    paths: dict[str, Schema] = {}
    for path, methods in routes():
        for method in methods:
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, models)
    return {"openapi": "3.1.0", "info": {"title": "Puna", "version": "0"}, "paths": paths}


def _operation(method: str, path: str, models: tuple[str, ...]) -> Schema:
    operation: Schema = {"responses": {"default": {"description": "anything that is no failure of the server"}}}
    if "{" in path:
        name = path.partition("{")[2].partition("}")[0].partition(":")[0]
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]
    struct = BODIES.get((method, path))
    if struct is not None:
        schema = _of(struct, depth=0)
        for field in {"model", "name", "from", "source"} & schema["properties"].keys():
            schema["properties"][field] = {"anyOf": [{"enum": list(models)}, {"type": "string", "maxLength": 12}]}
        schema["required"] = [
            f for f in ("model", "source", "messages", "prompt", "input") if f in schema["properties"]
        ]
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _of(kind: Kind, depth: int) -> Schema:
    """What JSON a kind takes; anything, where a type decodes itself or contains itself."""
    if id(kind) in _SPECIAL:
        return _SPECIAL[id(kind)]
    match kind:
        case Struct():
            if depth > 6:
                return {"type": "object"}
            fields = {m.key: _FIELDS.get(m.key) or _of(m.kind, depth + 1) for m in kind._exact.values()}
            return {"type": "object", "properties": fields}
        case containers.Pointer(target=target) | containers.Own(target=target):
            return _of(target, depth)
        case containers.Slice():
            return {"type": "array", "items": _of(kind.element, depth + 1), "maxItems": 4}
        case containers.Map(value=value) | containers.OrderedMap(value=value):
            return {"type": "object", "additionalProperties": _of(value, depth + 1), "maxProperties": 3}
        case containers.Later():
            return _of(kind.get(), depth + 2)
        case scalars.Bytes():
            return {"enum": ["aGk=", "not base64", ""]}
        case _ if kind is scalars.STRING:
            return _TEXT
        case _ if kind is scalars.BOOL:
            return {"type": "boolean"}
        case _ if kind.go_type.startswith("int"):
            return {"type": "integer", "maximum": 64}
        case _ if kind.go_type.startswith("float"):
            return {"type": "number"}
        case _:
            return {}
