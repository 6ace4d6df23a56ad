"""HEAD and POST `/api/blobs/:digest`: content uploaded before a model is made of it. # Compat: http-api 6.7."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from registry.digest import Digest
from registry.errors import BlobNotFound, DigestMismatch
from registry.store import Store
from server.routes.incoming import PartsDep
from server.streaming import CompleteResponse, UnreadBodyResponse
from server.transport.answers import Answer
from server.transport.bodies import ClientGone

router = APIRouter()


@router.head("/api/blobs/{digest}")
async def find_blob(digest: str, parts: PartsDep) -> Response:
    wanted = Digest.parse(digest)
    if not await asyncio.to_thread(parts.store.blobs.has, wanted):
        raise BlobNotFound(wanted)
    return CompleteResponse(Answer(200))


@router.post("/api/blobs/{digest}")
async def upload_blob(digest: str, request: Request, parts: PartsDep) -> Response:
    wanted = Digest.parse(digest)
    if await asyncio.to_thread(parts.store.promise, wanted):
        return UnreadBodyResponse(Answer(200))
    actual = await _store(request, parts.store)
    await asyncio.to_thread(parts.store.promise, actual)
    # Compat: http-api 6.7: texts are compared, and what was uploaded stays under the name that it deserves.
    if str(actual) != digest:
        raise DigestMismatch(digest, actual)
    return CompleteResponse(Answer(201))


async def _store(request: Request, store: Store) -> Digest:
    """Write the body into the store; memory stays at one buffer. Raises: ClientGone, StoreUnusable."""
    async with store.blobs.ingest() as blob:
        while True:
            message = await request.receive()
            if message["type"] != "http.request":
                raise ClientGone
            if message["body"]:
                await blob.write(message["body"])
            if not message.get("more_body"):
                digest, _ = await blob.commit()
                return digest
