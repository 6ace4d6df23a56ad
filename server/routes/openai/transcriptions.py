"""POST `/v1/audio/transcriptions`: a chat about a recording.

# Compat: http-api 8.7; Ollama middleware/openai.go TranscriptionMiddleware 0.33.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.templates.chat import Message
from registry.gojson import encode
from server.requests import ChatRequest
from server.routes.checks import MODEL_REQUIRED, require_model
from server.routes.cuts import reply_cuts
from server.routes.events import Event, merge_events
from server.routes.ignored import tell_ignored
from server.routes.incoming import PartsDep, read_raw
from server.routes.openai.errors import OpenAIRoute, error_line
from server.routes.openai.multipart import InvalidForm, parse_form
from server.routes.v1 import Untranslatable, reply
from server.transport.answers import BARE_JSON, NDJSON, PLAIN, Answer
from server.transport.asgi import Headers

router = APIRouter(route_class=OpenAIRoute)

TASK = "Write down the words of the recording exactly as they are spoken. Answer with nothing but these words."
FIELDS = frozenset(("model", "response_format", "language", "prompt"))
QUESTION = "Which words are spoken in this recording?"


@router.post("/v1/audio/transcriptions")
async def transcriptions(request: Request, parts: PartsDep) -> Response:
    arrived_ns = time.monotonic_ns()
    body = await read_raw(request)
    values, audio = await asyncio.to_thread(_read_form, request, body)
    tell_ignored(request.scope, [name for name in values if name not in FIELDS], strict=parts.settings.strict)
    wanted = _to_request(values, audio, arrived_ns)
    encoder = TranscriptionEncoder(as_text=values.get("response_format") == "text")
    check = partial(require_model, wanted.model)
    return reply(parts.generation.chat(wanted), encoder, stream=False, check=check)


def _read_form(request: Request, body: bytes | bytearray) -> tuple[dict[str, str], bytes]:
    """The fields, also those of the address, and the recording. Raises: Untranslatable."""
    try:
        form = parse_form(request.headers.get("content-type", ""), body)
    except InvalidForm as error:
        raise Untranslatable(f"failed to parse multipart form: {error}") from error
    values = form.values | dict(reversed(request.query_params.multi_items()))
    if not values.get("model"):
        raise Untranslatable(MODEL_REQUIRED)
    audio = form.files.get("file")
    if audio is None:
        raise Untranslatable("file is required: http: no such file")
    if not audio:
        raise Untranslatable("audio file is empty")
    return values, audio


def _to_request(values: dict[str, str], audio: bytes, arrived_ns: int) -> ChatRequest:
    task = TASK
    if values.get("language"):
        task += f" They are in the language {values['language']}."
    if values.get("prompt"):
        task += f" What comes before them: {values['prompt']}"
    messages = (Message("system", task), Message("user", QUESTION, images=(audio,)))
    return ChatRequest(values["model"], {"temperature": 0}, arrived_ns=arrived_ns, messages=messages)


class TranscriptionEncoder:
    """Writes one reply: the text alone, or an object around it."""

    stream_headers: Headers = ()

    def __init__(self, *, as_text: bool) -> None:
        self._as_text = as_text

    def alone(self, event: Event) -> Answer | None:
        return None

    def record(self, event: Event) -> bytes:
        raise AssertionError("transcriptions are not streamed")

    def collect(self, events: list[Event]) -> Answer:
        """# Compat: the header tells a stream unless all came at once; the body never is one."""
        together, finished = merge_events(events)
        text = together.content.strip()
        kind = NDJSON if len(events) > 1 else PLAIN if self._as_text else BARE_JSON
        body = text.encode() if self._as_text else encode({"text": text} | reply_cuts(finished)) + b"\n"
        return Answer(200, [kind, (b"transfer-encoding", b"chunked")], body)

    def refusal(self, error: Exception, *, stream: bool) -> Answer:
        """# Compat: here, unlike elsewhere under /v1, nobody looks for models of the cloud before the dialect does."""
        return error_line(error)

    def failure(self, error: Exception) -> bytes:
        raise AssertionError("transcriptions are not streamed")
