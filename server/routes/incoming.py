"""What routes of all dialects need of a request: its decoded body, and the parts of the server that serve it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request

from models.library import Library
from registry.store import Store
from server.builtin import Builtin
from server.errors import MissingBody
from server.generation import Generation
from server.json_decoding.containers import Struct
from server.json_decoding.errors import EmptyBody
from server.json_decoding.kinds import decode
from server.json_decoding.nodes import Node
from server.json_decoding.parse import parse
from server.routes.ignored import tell_ignored, unknown_options
from server.scheduler import Scheduler
from server.settings import Settings
from server.transfers import Transfers
from server.transport.bodies import read_body

B = TypeVar("B")

SMALL_BYTES = 64 * 1024
"""Bodies up to this size are decoded at once: a thread costs more than it saves."""

LARGE_BYTES = 1024 * 1024
"""Larger ones wait for one thread of their own, so that they keep busy neither the event loop nor all threads."""

_for_large = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-bodies")


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


def parts_of(request: Request) -> Parts:
    """Those of the application that serves the request."""
    parts: Parts = request.app.state.parts
    return parts


async def _parts(request: Request) -> Parts:
    """Not `parts_of` itself: FastAPI calls in a thread what is no coroutine."""
    return parts_of(request)


PartsDep = Annotated[Parts, Depends(_parts)]


@dataclass(frozen=True, slots=True)
class Incoming(Generic[B]):
    """A decoded body; `arrived_ns` is when its handling began, on the monotonic clock.

    `wants_details`: the client reads, of the usage, more than Ollama tells (see `routes.usage`).
    """

    body: B
    arrived_ns: int
    wants_details: bool = False


def incoming(struct: Struct) -> Callable[[Request], Awaitable[Incoming[Any]]]:
    """A dependency that reads the body as this struct.

    Raises: MissingBody, DecodeError, BodyTooLarge, ClientGone; BadField for unknown fields, if the server is strict.
    """

    def decode_known(node: Node) -> tuple[Any, list[str]]:
        body = decode(struct, node)
        return body, [*struct.unknown_members(node), *unknown_options(getattr(body, "options", None))]

    async def read(request: Request) -> Incoming[Any]:
        arrived_ns = time.monotonic_ns()
        raw = await read_raw(request)
        try:
            body, ignored = await decode_raw(raw, decode_known)
        except EmptyBody as error:
            raise MissingBody from error
        tell_ignored(request.scope, ignored, strict=parts_of(request).settings.strict)
        return Incoming(body, arrived_ns)

    return read


async def read_raw(request: Request) -> bytes | bytearray:
    """The body as it came. Raises: BodyTooLarge, ClientGone."""
    return await read_body(request.scope, request.receive, parts_of(request).settings.max_body_bytes)


async def decode_raw(raw: bytes | bytearray, decode_node: Callable[[Node], Any]) -> Any:
    """What `decode_node` makes of a body of JSON, without holding up other requests. Raises: DecodeError."""
    if len(raw) <= SMALL_BYTES:
        return decode_node(parse(raw))
    executor = _for_large if len(raw) > LARGE_BYTES else None
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: decode_node(parse(raw)))
