"""POST `/api/create`. # Compat: http-api 6.8, registry-store-cli 6.2."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from models.create.request import CreateRequest, check_request
from registry.errors import InvalidDigest
from server.routes.incoming import Incoming, PartsDep, incoming
from server.routes.native.progress import ProgressEncoder
from server.routes.native.schema import CREATE, CreateBody
from server.routes.native.translate import from_message
from server.streaming import EventResponse
from server.threads import iterate_in_thread

router = APIRouter()


@router.post("/api/create")
async def create(asked: Annotated[Incoming[CreateBody], Depends(incoming(CREATE))], parts: PartsDep) -> Response:
    request = _to_request(asked.body)
    check_request(request)
    from models.create.creation import create_model  # here: most servers never create a model

    pull = parts.transfers.pull_for_create(asyncio.get_running_loop())
    steps = iterate_in_thread(
        lambda: create_model(
            request,
            library=parts.library,
            store=parts.store,
            pull=pull,
            prune=not parts.settings.no_prune,
        )
    )
    # Compat: registry-store-cli 6.2: a digest that cannot be read is found by the worker.
    encoder = ProgressEncoder({InvalidDigest: 500})
    return EventResponse(steps, encoder, stream=asked.body.stream is not False)


def _to_request(body: CreateBody) -> CreateRequest:
    return CreateRequest(
        name=body.model or body.name,
        from_name=body.from_name,
        files=body.files,
        adapters=body.adapters,
        draft_files=body.draft_files,
        remote_host=body.remote_host,
        template=body.template,
        system=body.system,
        license=body.license,
        parameters=body.parameters,
        messages=tuple(from_message(message) for message in body.messages),
        quantize=body.quantize or body.quantization,
        draft_quantize=body.draft_quantize,
        imatrix=body.imatrix,
        renderer=body.renderer,
        parser=body.parser,
        requires=body.requires,
        info=body.info,
    )
