"""GET `/v1/models` and `/v1/models/{model}`. # Compat: http-api 8.5."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from models.errors import ModelNotFound, WeightsMissing
from registry.errors import ManifestNotFound
from registry.names import ModelName, Source, parse_source
from server.errors import CloudUnavailable
from server.routes.incoming import Parts, PartsDep
from server.routes.openai.errors import OpenAIRoute
from server.routes.v1 import json_line
from server.streaming import CompleteResponse

router = APIRouter(route_class=OpenAIRoute)

SECOND_NS = 1_000_000_000


@router.get("/v1/models")
async def models(parts: PartsDep) -> Response:
    summaries = await asyncio.to_thread(parts.library.list_models)
    rows = [_fields(summary.name.display, summary.name, summary.modified_ns) for summary in summaries]
    return CompleteResponse(json_line(200, {"object": "list", "data": rows or None}))


@router.get("/v1/models/{model}")
async def model(model: str, parts: PartsDep) -> Response:
    base, source = parse_source(model)
    if source is Source.CLOUD:
        raise CloudUnavailable("remote model details are")
    name = ModelName.parse(base)
    modified_ns = await asyncio.to_thread(_modified_ns, parts, name)
    return CompleteResponse(json_line(200, _fields(model, name, modified_ns)))


def _modified_ns(parts: Parts, name: ModelName) -> int:
    """Of a model that can be shown. Raises: ModelNotFound, and as Library.spec."""
    try:
        return parts.builtin.find(name).modified_ns
    except (ManifestNotFound, WeightsMissing) as error:
        raise ModelNotFound(f"model '{name.display}' not found") from error


def _fields(id_text: str, name: ModelName, modified_ns: int) -> dict[str, Any]:
    return {"id": id_text, "object": "model", "created": modified_ns // SECOND_NS, "owned_by": name.namespace}
