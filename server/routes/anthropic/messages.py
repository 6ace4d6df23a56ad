"""POST `/v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from server.routes.anthropic.errors import AnthropicRoute
from server.routes.anthropic.estimate import estimate_tokens
from server.routes.anthropic.replies import MessageEncoder
from server.routes.anthropic.schema import MESSAGES, WITHOUT_EFFECT, MessagesBody
from server.routes.anthropic.search import SearchEncoder
from server.routes.anthropic.translate import asks_for_cache, is_search, to_chat_request, to_prompt_request
from server.routes.checks import require_model
from server.routes.incoming import Incoming, PartsDep
from server.routes.usage import asks_for_details
from server.routes.v1 import incoming_v1, json_line, reply
from server.streaming import CompleteResponse, unless_client_leaves

router = APIRouter(route_class=AnthropicRoute)

Asked = Annotated[Incoming[MessagesBody], Depends(incoming_v1(MESSAGES, WITHOUT_EFFECT))]


@router.post("/v1/messages")
async def messages(asked: Asked, parts: PartsDep) -> Response:
    body = asked.body
    events = parts.generation.chat(to_chat_request(body, asked.arrived_ns))
    kind = SearchEncoder if any(map(is_search, body.tools)) else MessageEncoder
    n_estimated = estimate_tokens(body) if body.stream else 0
    tells_cache = asks_for_cache(body) or asks_for_details(body)
    encoder = kind(body.model, n_estimated, tells_cache=tells_cache, with_details=asked.wants_details)
    return reply(events, encoder, stream=body.stream, check=partial(require_model, body.model))


@router.post("/v1/messages/count_tokens")
async def count_tokens(request: Request, asked: Asked, parts: PartsDep) -> Response:
    """How many tokens the prompt would have, with nothing cut; the model is loaded for it."""
    wanted = to_prompt_request(asked.body, asked.arrived_ns)
    n_tokens = await unless_client_leaves(request, parts.generation.count_tokens(wanted))
    return CompleteResponse(json_line(200, {"input_tokens": n_tokens}))
