"""POST `/v1/completions`. # Compat: http-api 8.3."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from models.parsers.events import Delta
from server.generation import Generation
from server.requests import GenerateRequest
from server.routes.events import Event
from server.routes.incoming import Incoming, PartsDep
from server.routes.openai.choices import count_choices, places, serve_choices
from server.routes.openai.completion_replies import CompletionEncoder
from server.routes.openai.errors import OpenAIRoute
from server.routes.openai.schema import COMPLETION, WITHOUT_EFFECT, CompletionBody
from server.routes.openai.translate import check_completion, count_candidates, scores_prompt, to_generate_requests
from server.routes.v1 import incoming_v1, reply

router = APIRouter(route_class=OpenAIRoute)


@router.post("/v1/completions")
async def completions(
    asked: Annotated[Incoming[CompletionBody], Depends(incoming_v1(COMPLETION, WITHOUT_EFFECT))], parts: PartsDep
) -> Response:
    body = asked.body
    wanted = to_generate_requests(body, asked.arrived_ns)
    encoder = CompletionEncoder(
        body.model,
        stream=body.stream,
        with_usage=body.stream_options is not None and body.stream_options.include_usage,
        with_details=asked.wants_details,
        with_logprobs=body.logprobs is not None and body.logprobs >= 0,
        scores_prompt=scores_prompt(body),
        n_prompts=len(body.prompt),
        n_candidates=count_candidates(body),
        n_told=count_choices(body.n),
    )
    serve = partial(_echo, parts.generation) if body.echo else parts.generation.generate
    events = serve_choices(serve, wanted, at_once=places(parts.settings))
    return reply(events, encoder, stream=body.stream, check=partial(check_completion, body))


async def _echo(generation: Generation, request: GenerateRequest) -> AsyncGenerator[Event, None]:
    """The prompt, then the reply to it."""
    text = await generation.prompt_text(request)
    async with aclosing(generation.generate(request)) as events:
        async for event in events:
            if text:
                yield Delta(text)
                text = ""
            yield event
