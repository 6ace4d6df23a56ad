"""What the dialects under /v1 share: how their bodies come in, and which errors take which form.

An error found while a request is read or translated (`is_about_translation`) and one found by what serves all dialects
are framed differently; what concerns Ollama's cloud has the native form in every dialect.
# Compat: http-api 1.5, 2.1, 8.1, 10.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from registry.errors import ConflictingSource
from registry.gojson import encode
from registry.names import Source, parse_source
from server.errors import OF_THE_ENGINE, BadField, CloudUnavailable, status_of
from server.generation import CLOUD_DISABLED, CloudDisabled
from server.json_decoding.containers import Struct
from server.json_decoding.errors import DecodeError
from server.json_decoding.kinds import decode
from server.json_decoding.nodes import Node, Object
from server.routes.compression import UnreadableBody, decompress_zstd
from server.routes.extras import adopt_options
from server.routes.ignored import tell_ignored, unknown_options
from server.routes.incoming import Incoming, decode_raw, parts_of, read_raw
from server.routes.usage import wants_details
from server.streaming import CompleteResponse, Encoder, EventResponse, UnreadBodyResponse, report
from server.transport.answers import BARE_JSON, JSON, Answer
from server.transport.asgi import Headers, header
from server.transport.bodies import BodyTooLarge

E = TypeVar("E")

SSE = (b"content-type", b"text/event-stream")
UNCACHED: Headers = ((b"cache-control", b"no-cache"),)
"""What some streams carry, and the errors that come in their place, too. Ollama adds that the connection stays open,
which goes without saying, and is not so when the client wants it closed."""


class Untranslatable(BadField):
    """A field that is well-formed JSON of its type, and yet cannot be translated to a request."""


def is_about_translation(error: Exception) -> bool:
    return isinstance(error, DecodeError | Untranslatable | BodyTooLarge)


def native_answer(error: Exception) -> Answer | None:
    """The answer that is the same in all dialects; None where a dialect has its own."""
    if isinstance(error, CloudDisabled | CloudUnavailable | UnreadableBody):
        return Answer(status_of(error), [JSON], encode({"error": str(error)}))
    return None


def json_line(status: int, value: Any, headers: Headers = ()) -> Answer:
    """An answer as Go's encoder writes it to a stream: with a newline."""
    return Answer(status, [BARE_JSON, *headers], encode(value) + b"\n")


def refused_line(error: Exception, value: Any, headers: Headers = (), *, stream: bool) -> Answer:
    """The same for an error in place of a reply; one of the engine's comes where the stream was to begin."""
    if stream and isinstance(error, OF_THE_ENGINE):
        headers = [*headers, (b"transfer-encoding", b"chunked")]
    return json_line(status_of(error), value, headers)


# ---- bodies --------------------------------------------------------------------------------------------------------


def incoming_v1(
    struct: Struct, without_effect: frozenset[str] = frozenset()
) -> Callable[[Request], Awaitable[Incoming[Any]]]:
    """A dependency that reads the body as this struct. `without_effect`: fields that are no news to anybody.

    Raises: DecodeError (also for an empty body), UnreadableBody, CloudDisabled, BodyTooLarge, ClientGone; BadField for
    unknown fields, if the server is strict.
    """

    def decode_local(node: Node) -> tuple[Any, list[str]]:
        refuse_cloud_model(node)
        body = decode(struct, node)
        unknown = adopt_options(body, struct.unknown_members(node))
        return body, [name for name in unknown if name not in without_effect] + unknown_options(body.options)

    async def read(request: Request) -> Incoming[Any]:
        arrived_ns = time.monotonic_ns()
        raw = await read_raw(request)
        if header(request.scope, b"content-encoding") == b"zstd":
            raw = await asyncio.to_thread(decompress_zstd, raw)
        body, ignored = await decode_raw(raw, decode_local)
        tell_ignored(request.scope, ignored, strict=parts_of(request).settings.strict)
        return Incoming(body, arrived_ns, wants_details(request.scope, body))

    return read


def refuse_cloud_model(node: Node) -> None:
    """Raises: CloudDisabled, whatever else may be wrong with the body.

    # Compat: Ollama server/cloud_proxy.go extractModelField 0.33: here, the key is looked up as it is written.
    """
    if not isinstance(node, Object):
        return
    models = [value for key, value in node if key == "model"]
    name = models[-1] if models else None
    if type(name) is not str:
        return
    try:
        _, source = parse_source(name)
    except ConflictingSource:
        return  # told later, in the dialect's form
    if source is Source.CLOUD:
        raise CloudDisabled(CLOUD_DISABLED)


# ---- answers -------------------------------------------------------------------------------------------------------


def routes_that_refuse(refusal: Callable[[Exception], Answer]) -> type[APIRoute]:
    """A class of routes that answer what they raise with `refusal`, which is the dialect's form."""

    class DialectRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_or_refuse(request: Request) -> Response:
                try:
                    return await handle(request)
                except Exception as error:
                    report(error)
                    answer = native_answer(error) or refusal(error)
                    too_large = isinstance(error, BodyTooLarge)
                    return UnreadBodyResponse(answer) if too_large else CompleteResponse(answer)

            return handle_or_refuse

    return DialectRoute


def reply(events: AsyncGenerator[E, None], encoder: Encoder[E], *, stream: bool, check: Callable[[], None]) -> Response:
    """Answer with the events, unless `check` finds something wrong with the translated request."""
    try:
        check()
    except BadField as error:
        return CompleteResponse(encoder.refusal(error, stream=stream))
    return EventResponse(events, encoder, stream=stream)
