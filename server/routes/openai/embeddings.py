"""POST `/v1/embeddings`. # Compat: http-api 8.4."""

from __future__ import annotations

import asyncio
import base64
import sys
from array import array
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from models.errors import UnusableOutput
from registry.gojson import encode, encode_float32
from server.requests import Embeddings
from server.routes.cuts import input_cuts
from server.routes.incoming import Incoming, PartsDep
from server.routes.openai.errors import OpenAIRoute, error_line
from server.routes.openai.schema import EMBEDDING, WITHOUT_EFFECT, EmbeddingBody
from server.routes.openai.translate import to_embed_request
from server.routes.v1 import incoming_v1
from server.streaming import CompleteResponse, unless_client_leaves
from server.transport.answers import BARE_JSON, Answer

router = APIRouter(route_class=OpenAIRoute)


@router.post("/v1/embeddings")
async def embeddings(
    request: Request,
    asked: Annotated[Incoming[EmbeddingBody], Depends(incoming_v1(EMBEDDING, WITHOUT_EFFECT))],
    parts: PartsDep,
) -> Response:
    body = asked.body
    wanted = to_embed_request(body, asked.arrived_ns)
    try:
        found = await unless_client_leaves(request, parts.generation.embed(wanted))
    except UnusableOutput as error:
        return CompleteResponse(error_line(error, 400))  # as the native endpoint has it
    # In a thread: a million numbers take half a second to write.
    answer = await asyncio.to_thread(_answer, body.model, found, as_text=body.encoding_format.lower() == "base64")
    return CompleteResponse(answer)


def _answer(model: str, found: Embeddings, *, as_text: bool) -> Answer:
    """Vectors are put in as bytes: they are large, and have been written by then."""
    write = _base64 if as_text else _numbers
    rows = b",".join(
        b'{"object":"embedding","embedding":%b,"index":%d}' % (write(row), i) for i, row in enumerate(found.vectors)
    )
    usage = {"prompt_tokens": found.n_tokens, "total_tokens": found.n_tokens}
    end = encode({"model": model, "usage": usage} | input_cuts(found))
    return Answer(200, [BARE_JSON], b'{"object":"list","data":[%b],%b\n' % (rows, end[1:]))


def _numbers(row: memoryview[float]) -> bytes:
    return encode_float32(row.cast("B"))


def _base64(row: memoryview[float]) -> bytes:
    """Of little-endian float32."""
    numbers = array("f", row)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b'"' + base64.b64encode(numbers.tobytes()) + b'"'
