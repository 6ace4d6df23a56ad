"""POST `/api/embed` and the deprecated `/api/embeddings`. # Compat: http-api 6.13, 6.14."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from models.errors import BadRequest, UnusableOutput
from registry.gojson import encode, encode_float32
from registry.names import ModelName, parse_source
from server.requests import Embeddings
from server.routes.cuts import input_cuts
from server.routes.incoming import Incoming, PartsDep, incoming
from server.routes.native.replies import error_answer, json_answer
from server.routes.native.schema import EMBED, EMBEDDING, EmbedBody, EmbeddingBody
from server.routes.native.translate import to_embed_request, to_embedding_request
from server.streaming import CompleteResponse, unless_client_leaves
from server.transport.answers import JSON, Answer

router = APIRouter()


@router.post("/api/embed")
async def embed(
    request: Request, asked: Annotated[Incoming[EmbedBody], Depends(incoming(EMBED))], parts: PartsDep
) -> Response:
    wanted = to_embed_request(asked.body, asked.arrived_ns)
    try:
        found = await unless_client_leaves(request, parts.generation.embed(wanted))
    except UnusableOutput as error:
        return CompleteResponse(error_answer(error, status=400))
    # In a thread: a million numbers take half a second to write.
    answer = await asyncio.to_thread(_embed_answer, wanted.model, found, is_load=not wanted.inputs)
    return CompleteResponse(answer)


@router.post("/api/embeddings")
async def embeddings(
    request: Request, asked: Annotated[Incoming[EmbeddingBody], Depends(incoming(EMBEDDING))], parts: PartsDep
) -> Response:
    wanted = to_embedding_request(asked.body, asked.arrived_ns)
    ModelName.parse(parse_source(wanted.model)[0])
    try:
        found = await unless_client_leaves(request, parts.generation.embed(wanted))
    except BadRequest as error:
        return CompleteResponse(error_answer(error, status=500))  # whatever it is, here it is the server's failure
    row = list(found.vectors[0]) if found.vectors else []
    return CompleteResponse(json_answer(200, {"embedding": row}))


def _embed_answer(model: str, found: Embeddings, *, is_load: bool) -> Answer:
    rows = b",".join(encode_float32(row.cast("B")) for row in found.vectors)
    body = b'{"model":' + encode(model) + b',"embeddings":[' + rows + b"]"
    if not is_load:
        counts = {
            "total_duration": found.total_ns,
            "load_duration": found.load_ns,
            "prompt_eval_count": found.n_tokens,
        }
        more = {name: value for name, value in counts.items() if value} | input_cuts(found)
        body += b"".join(b",%b:%b" % (encode(name), encode(value)) for name, value in more.items())
    return Answer(200, [JSON], body + b"}")
