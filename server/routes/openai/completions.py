"""POST `/v1/completions`. # Compat: http-api 8.3."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from server.routes.incoming import Incoming, PartsDep
from server.routes.openai.completion_replies import CompletionEncoder
from server.routes.openai.errors import OpenAIRoute
from server.routes.openai.schema import COMPLETION, CompletionBody
from server.routes.openai.translate import check_completion, to_generate_request
from server.routes.v1 import incoming_v1, reply

router = APIRouter(route_class=OpenAIRoute)


@router.post("/v1/completions")
async def completions(
    asked: Annotated[Incoming[CompletionBody], Depends(incoming_v1(COMPLETION))], parts: PartsDep
) -> Response:
    body = asked.body
    events = parts.generation.generate(to_generate_request(body, asked.arrived_ns))
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    encoder = CompletionEncoder(body.model, stream=body.stream, with_usage=with_usage)
    return reply(events, encoder, stream=body.stream, check=partial(check_completion, body))
