"""POST `/v1/responses`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from server.routes.checks import require_model
from server.routes.incoming import Incoming, PartsDep
from server.routes.openai.errors import OpenAIRoute
from server.routes.openai.responses.replies import ResponseEncoder
from server.routes.openai.responses.schema import RESPONSE, ResponseBody
from server.routes.openai.responses.translate import to_chat_request
from server.routes.openai.schema import WITHOUT_EFFECT
from server.routes.v1 import incoming_v1, reply

router = APIRouter(route_class=OpenAIRoute)


@router.post("/v1/responses")
async def responses(
    asked: Annotated[Incoming[ResponseBody], Depends(incoming_v1(RESPONSE, WITHOUT_EFFECT))], parts: PartsDep
) -> Response:
    body = asked.body
    events = parts.generation.chat(to_chat_request(body, asked.arrived_ns))
    check = partial(require_model, body.model)
    encoder = ResponseEncoder(body, with_details=asked.wants_details)
    return reply(events, encoder, stream=body.stream is True, check=check)
