"""What routes of all dialects need of a request: its decoded body, and the parts of the server that serve it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request

from models.library import Library
from registry.store import Store
from server.builtin import Builtin
from server.errors import MissingBody
from server.generation import Generation
from server.json_decoding.errors import EmptyBody
from server.json_decoding.kinds import Struct, decode
from server.json_decoding.parse import parse
from server.scheduler import Scheduler
from server.settings import Settings
from server.transfers import Transfers
from server.transport.bodies import read_body

B = TypeVar("B")

DECODED_IN_THREADS_FROM = 64 * 1024
"""Bytes; below that the thread costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application owns and routes call."""

    settings: Settings
    store: Store
    library: Library
    builtin: Builtin
    scheduler: Scheduler
    generation: Generation
    transfers: Transfers
    cloud_is_off_by_config: bool = False


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(_parts)]


@dataclass(frozen=True, slots=True)
class Incoming(Generic[B]):
    """A decoded body; `arrived_ns` is when its handling began, on the monotonic clock."""

    body: B
    arrived_ns: int


def incoming(struct: Struct) -> Callable[[Request], Awaitable[Incoming[Any]]]:
    """A dependency that reads the body as this struct. Raises: MissingBody, DecodeError, BodyTooLarge, ClientGone."""

    async def read(request: Request) -> Incoming[Any]:
        arrived_ns = time.monotonic_ns()
        limit_bytes = _parts(request).settings.max_body_bytes
        raw = await read_body(request.scope, request.receive, limit_bytes)
        try:
            if len(raw) < DECODED_IN_THREADS_FROM:
                return Incoming(decode(struct, parse(raw)), arrived_ns)
            return Incoming(await asyncio.to_thread(_decode, struct, raw), arrived_ns)
        except EmptyBody as error:
            raise MissingBody from error

    return read


def _decode(struct: Struct, raw: bytes | bytearray) -> Any:
    return decode(struct, parse(raw))
