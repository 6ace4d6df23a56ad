"""The models in the store: list, show, running, copy, delete. # Compat: http-api 6.2 to 6.6."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from models.errors import WeightsMissing
from models.library import ModelSummary, details_of
from models.show import details_fields, show_model
from registry.errors import InvalidName, ManifestNotFound
from registry.gojson import encode, encode_time, quote
from registry.names import ModelName, Source, parse_source, to_cloud_name
from server.errors import BadField, CloudUnavailable
from server.routes.checks import require_model
from server.routes.incoming import Incoming, Parts, PartsDep, incoming
from server.routes.native.replies import json_answer
from server.routes.native.schema import COPY, DELETE, SHOW, CopyBody, DeleteBody, ShowBody
from server.scheduler import RunningModel
from server.streaming import CompleteResponse
from server.transport.answers import JSON, Answer

router = APIRouter()

COPILOT = "GitHubCopilotChat/"
"""Clients whose User-Agent begins so want the name that they asked for as the model's base name."""


class NotFound(ManifestNotFound):
    """No such model, in the wording of one endpoint."""

    def __init__(self, name: ModelName, text: str) -> None:
        super().__init__(name)
        self._text = text

    def __str__(self) -> str:
        return self._text


# ---- list ----------------------------------------------------------------------------------------------------------


@router.api_route("/api/tags", methods=["HEAD", "GET"])
async def tags(parts: PartsDep) -> Response:
    summaries = await asyncio.to_thread(parts.library.list_models)
    return CompleteResponse(json_answer(200, {"models": [_summary_fields(summary) for summary in summaries]}))


def _summary_fields(summary: ModelSummary) -> dict[str, Any]:
    found: dict[str, Any] = {"name": summary.name.display, "model": summary.name.display}
    if summary.remote_model:
        found["remote_model"] = summary.remote_model
    if summary.remote_host:
        found["remote_host"] = summary.remote_host
    found |= {
        "modified_at": encode_time(summary.modified_ns, utc=False),
        "size": summary.size_bytes,
        "digest": summary.digest,
        "details": details_fields(summary.details),
    }
    if summary.capabilities:
        found["capabilities"] = list(summary.capabilities)
    return found


@router.get("/api/ps")
async def running(parts: PartsDep) -> Response:
    return CompleteResponse(json_answer(200, {"models": [_running_fields(row) for row in parts.scheduler.running()]}))


def _running_fields(row: RunningModel) -> dict[str, Any]:
    return {
        "name": row.spec.name.display,
        "model": row.spec.name.display,
        "size": row.size_bytes,
        "digest": row.spec.manifest_digest,
        "details": details_fields(details_of(row.spec.config, "", "")),
        "expires_at": encode_time(row.expires_ns, utc=False),
        "size_vram": row.vram_bytes,
        "context_length": row.n_ctx,
    }


# ---- show ----------------------------------------------------------------------------------------------------------


@router.post("/api/show")
async def show(
    request: Request, asked: Annotated[Incoming[ShowBody], Depends(incoming(SHOW))], parts: PartsDep
) -> Response:
    body = asked.body
    typed = body.model or body.name
    require_model(typed)
    base, source = parse_source(typed)
    name = ModelName.parse(base)
    if source is Source.CLOUD:
        raise CloudUnavailable("remote model details are")
    basename = typed if request.headers.get("user-agent", "").startswith(COPILOT) else ""
    return CompleteResponse(Answer(200, [JSON], await asyncio.to_thread(_show, parts, name, body, basename)))


def _show(parts: Parts, name: ModelName, body: ShowBody, basename: str) -> bytes:
    try:
        spec = parts.builtin.find(name)
        found = show_model(
            parts.library, spec, verbose=body.verbose, system=body.system, options=body.options, basename=basename
        )
    except (ManifestNotFound, WeightsMissing) as error:
        raise NotFound(name, f"model '{name.display}' not found") from error
    return encode(found)


# ---- copy, delete --------------------------------------------------------------------------------------------------


@router.post("/api/copy")
async def copy(asked: Annotated[Incoming[CopyBody], Depends(incoming(COPY))], parts: PartsDep) -> Response:
    source = _parse_part("source", asked.body.source)
    destination = _parse_part("destination", asked.body.destination)
    try:
        await asyncio.to_thread(parts.builtin.ensure, source)
        await asyncio.to_thread(parts.store.copy_model, source, destination)
    except ManifestNotFound as error:
        raise NotFound(source, f"model {quote(asked.body.source)} not found") from error
    return CompleteResponse(Answer(200))


def _parse_part(part: str, typed: str) -> ModelName:
    try:
        return ModelName.parse(typed)
    except InvalidName as error:
        raise BadField(f"{part} {quote(typed)} is invalid") from error


@router.delete("/api/delete")
async def delete(asked: Annotated[Incoming[DeleteBody], Depends(incoming(DELETE))], parts: PartsDep) -> Response:
    typed = asked.body.model or asked.body.name
    require_model(typed)
    base, source = parse_source(typed)
    try:
        name = ModelName.parse(to_cloud_name(base) if source is Source.CLOUD else base)
    except InvalidName as error:
        raise BadField(f"name {quote(typed)} is invalid") from error
    try:
        await asyncio.to_thread(parts.store.delete_model, name)
    except ManifestNotFound as error:
        raise NotFound(name, f"model '{typed}' not found") from error
    return CompleteResponse(Answer(200))
