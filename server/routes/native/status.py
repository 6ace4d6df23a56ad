"""What the server is, and the places of accounts and cloud services that this server does not have.

`/` and `/api/version` are answered by the gate, before anything else is ready.
# Compat: http-api 6.1, 6.15, 6.16, 10.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.errors import AccountUnavailable, CloudUnavailable, MissingBody, SignOutFailed
from server.routes.incoming import PartsDep
from server.routes.native.replies import json_answer
from server.settings import Settings
from server.streaming import CompleteResponse
from server.transport.bodies import read_body

router = APIRouter()

RECOMMENDATIONS = (
    {
        "model": "kimi-k2.6:cloud",
        "description": "State-of-the-art coding, long-horizon execution, and multimodal agent swarm capability",
        "context_length": 262144,
        "max_output_tokens": 262144,
    },
    {
        "model": "glm-5.1:cloud",
        "description": "Reasoning and code generation",
        "context_length": 202752,
        "max_output_tokens": 131072,
    },
    {
        "model": "qwen3.5:cloud",
        "description": "Reasoning, coding, and agentic tool use with vision",
        "context_length": 262144,
        "max_output_tokens": 32768,
    },
    {
        "model": "minimax-m2.7:cloud",
        "description": "Fast, efficient coding and real-world productivity",
        "context_length": 204800,
        "max_output_tokens": 128000,
    },
    {"model": "gemma4", "description": "Reasoning and code generation locally", "vram_bytes": 12000000000},
    {
        "model": "qwen3.5",
        "description": "Reasoning, coding, and visual understanding locally",
        "vram_bytes": 14000000000,
    },
)
"""What Ollama answers when it cannot ask its cloud; clients show the list as it is."""


@router.get("/api/status")
async def status(parts: PartsDep) -> Response:
    source = cloud_source(parts.settings, parts.cloud_is_off_by_config)
    return CompleteResponse(json_answer(200, {"cloud": {"disabled": True, "source": source}}))


def cloud_source(settings: Settings, is_off_by_config: bool) -> str:
    """Who turned the cloud off, in Ollama's words; there is none here, which comes nearest to `env`."""
    if not is_off_by_config:
        return "env"
    return "both" if settings.no_cloud else "config"


@router.post("/api/me")
async def me() -> Response:
    raise AccountUnavailable


@router.post("/api/signout")
async def sign_out() -> Response:
    raise SignOutFailed


@router.delete("/api/user/keys/{encoded_key}")
async def delete_key(encoded_key: str) -> Response:
    raise SignOutFailed


@router.get("/api/experimental/model-recommendations")
async def recommendations() -> Response:
    return CompleteResponse(json_answer(200, {"recommendations": list(RECOMMENDATIONS)}))


@router.post("/api/experimental/web_search")
async def web_search(request: Request, parts: PartsDep) -> Response:
    await _require_body(request, parts.settings.max_body_bytes)
    raise CloudUnavailable("web search is")


@router.post("/api/experimental/web_fetch")
async def web_fetch(request: Request, parts: PartsDep) -> Response:
    await _require_body(request, parts.settings.max_body_bytes)
    raise CloudUnavailable("web fetch is")


async def _require_body(request: Request, limit_bytes: int) -> None:
    body = await read_body(request.scope, request.receive, limit_bytes)
    if not body.strip():
        raise MissingBody
