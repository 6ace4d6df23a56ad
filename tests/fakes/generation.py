"""Generation as a script: the same three methods, no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from models.parsers.events import Delta, Finished
from server.requests import ChatRequest, Embeddings, EmbedRequest, GenerateRequest, Rendered

Event = Delta | Finished | Rendered


class Forever:
    """A step that never ends by itself."""


Step = Event | Exception | Forever


@dataclass
class FakeGeneration:
    """Plays `script` for every chat and generate request: yields events, raises errors, waits.

    `requests` are those that came; `open` counts the replies that are being generated now, `n_abandoned` those whose
    reader left before the end.
    """

    script: Sequence[Step] = ()
    embeddings: Embeddings | Exception | Forever = field(default_factory=Embeddings)
    requests: list[ChatRequest | GenerateRequest | EmbedRequest] = field(default_factory=list)
    n_tokens: int = 0
    open: int = 0
    n_abandoned: int = 0

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        async for event in self._play(request):
            yield event

    async def count_tokens(self, request: ChatRequest) -> int:
        self.requests.append(request)
        return self.n_tokens

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        async for event in self._play(request):
            yield event

    async def prompt_text(self, request: GenerateRequest) -> str:
        return request.prompt if request.prompt_tokens is None else bytes(request.prompt_tokens).decode()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        self.requests.append(request)
        self.open += 1
        try:
            if isinstance(self.embeddings, Exception):
                raise self.embeddings
            if isinstance(self.embeddings, Forever):
                await asyncio.Event().wait()
                raise AssertionError("nobody sets the event")
            return self.embeddings
        except asyncio.CancelledError:
            self.n_abandoned += 1
            raise
        finally:
            self.open -= 1

    async def _play(self, request: ChatRequest | GenerateRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        self.open += 1
        is_over = False
        try:
            for step in self.script:
                await asyncio.sleep(0)
                if isinstance(step, Exception):
                    is_over = True
                    raise step
                if isinstance(step, Forever):
                    await asyncio.Event().wait()
                else:
                    yield step
            is_over = True
        finally:
            self.open -= 1
            self.n_abandoned += not is_over
