"""POST `/v1/chat/completions`. # Compat: http-api 8.2."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from server.routes.incoming import Incoming, PartsDep
from server.routes.openai.chat_replies import ChatEncoder
from server.routes.openai.choices import places, serve_choices
from server.routes.openai.errors import OpenAIRoute
from server.routes.openai.schema import CHAT, WITHOUT_EFFECT, ChatBody
from server.routes.openai.translate import check_chat, to_chat_requests
from server.routes.v1 import incoming_v1, reply

router = APIRouter(route_class=OpenAIRoute)


@router.post("/v1/chat/completions")
async def chat(
    asked: Annotated[Incoming[ChatBody], Depends(incoming_v1(CHAT, WITHOUT_EFFECT))], parts: PartsDep
) -> Response:
    body = asked.body
    wanted = to_chat_requests(body, asked.arrived_ns)
    encoder = ChatEncoder(
        body.model,
        stream=body.stream,
        with_usage=body.stream_options is not None and body.stream_options.include_usage,
        with_details=asked.wants_details,
        n_choices=len(wanted),
    )
    events = serve_choices(parts.generation.chat, wanted, at_once=places(parts.settings))
    return reply(events, encoder, stream=body.stream, check=partial(check_chat, body))
