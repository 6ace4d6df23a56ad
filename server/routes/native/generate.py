"""POST `/api/generate`. # Compat: http-api 6.11."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from server.routes.incoming import Incoming, PartsDep, incoming
from server.routes.native.replies import GenerateEncoder
from server.routes.native.schema import GENERATE, GenerateBody
from server.routes.native.translate import to_generate_request
from server.streaming import EventResponse

router = APIRouter()


@router.post("/api/generate")
async def generate(asked: Annotated[Incoming[GenerateBody], Depends(incoming(GENERATE))], parts: PartsDep) -> Response:
    request = to_generate_request(asked.body, asked.arrived_ns)
    events = parts.generation.generate(request)
    return EventResponse(events, GenerateEncoder(request.model), stream=asked.body.stream is not False)
