"""POST `/api/chat`. # Compat: http-api 6.12."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from server.routes.incoming import Incoming, PartsDep, incoming
from server.routes.native.replies import ChatEncoder
from server.routes.native.schema import CHAT, ChatBody
from server.routes.native.translate import to_chat_request
from server.streaming import EventResponse

router = APIRouter()


@router.post("/api/chat")
async def chat(asked: Annotated[Incoming[ChatBody], Depends(incoming(CHAT))], parts: PartsDep) -> Response:
    request = to_chat_request(asked.body, asked.arrived_ns)
    events = parts.generation.chat(request)
    return EventResponse(events, ChatEncoder(request.model), stream=asked.body.stream is not False)
