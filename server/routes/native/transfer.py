"""POST `/api/pull` and `/api/push`. # Compat: http-api 6.9, 6.10."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from registry.names import ModelName, Source, parse_source, to_cloud_name
from server.routes.checks import require_model
from server.routes.incoming import Incoming, PartsDep, incoming
from server.routes.native.progress import ProgressEncoder
from server.routes.native.schema import PULL, PUSH, TransferBody
from server.streaming import EventResponse

router = APIRouter()


@router.post("/api/pull")
async def pull(asked: Annotated[Incoming[TransferBody], Depends(incoming(PULL))], parts: PartsDep) -> Response:
    base, source = parse_source(asked.body.model or asked.body.name)
    name = ModelName.parse(to_cloud_name(base) if source is Source.CLOUD else base)
    steps = parts.transfers.pull(name, insecure=asked.body.insecure)
    return EventResponse(steps, ProgressEncoder(), stream=asked.body.stream is not False)


@router.post("/api/push")
async def push(asked: Annotated[Incoming[TransferBody], Depends(incoming(PUSH))], parts: PartsDep) -> Response:
    typed = asked.body.model or asked.body.name
    require_model(typed)
    steps = parts.transfers.push(typed, insecure=asked.body.insecure)
    return EventResponse(steps, ProgressEncoder(), stream=asked.body.stream is not False)
