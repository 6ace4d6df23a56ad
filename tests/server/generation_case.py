"""Generation with a runner that says what the test wants."""

from __future__ import annotations

import array
import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from models.capabilities import PromptSource
from models.gguf.facts import GGUFFacts
from models.library import ModelSpec
from models.runner import messages as wire
from models.runner.messages import Chunk, Embedded, InputCut, Ready, Reason
from models.templates.chat import Message
from registry.manifest import ModelConfig
from registry.names import ModelName
from server.generation import Generation, GenerationSettings
from server.placement import Devices
from server.requests import ChatRequest, EmbedRequest, GenerateRequest
from server.scheduler import Wanted

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


T = TypeVar("T")


class ScriptedRunner:
    """Says `chunks`; remembers what it was asked. A token is a byte."""

    def __init__(self, *chunks: str | Chunk, n_ctx: int = 100) -> None:
        self.ready = Ready(n_ctx, n_ctx, 256, 1, 0, adds_bos=False)
        self.chunks = chunks
        self.asked: list[dict[str, Any]] = []
        self.is_closed = False
        self.n_tokenized = 0
        self.vectors: list[float] = []
        self.cuts: tuple[InputCut, ...] = ()

    async def generate(self, prompt: str, **settings: Any) -> AsyncGenerator[Chunk | wire.Finished, None]:
        self.asked.append({"prompt": prompt, **settings})
        try:
            for chunk in self.chunks:
                yield chunk if isinstance(chunk, Chunk) else Chunk(1, chunk)
            yield wire.Finished(1, Reason.STOP, len(prompt), 2, 3, len(self.chunks), 5)
        finally:
            self.is_closed = True

    async def tokenize(self, text: str, *, add_special: bool = False) -> tuple[int, ...]:
        self.n_tokenized += 1
        return (*(b"^" if add_special else b""), *text.encode())

    async def detokenize(self, tokens: tuple[int, ...]) -> str:
        return bytes(tokens).decode()

    async def embed(self, inputs: tuple[str, ...], **settings: Any) -> Embedded:
        self.asked.append({"inputs": inputs, **settings})
        n_embd = len(self.vectors) // len(inputs)
        return Embedded(1, array.array("f", self.vectors).tobytes(), n_embd, 7, self.cuts)


class OneRunner:
    """A scheduler with that runner."""

    def __init__(self, runner: ScriptedRunner) -> None:
        self.runner = runner
        self.wanted: list[Wanted] = []
        self.unloaded: list[str] = []

    @asynccontextmanager
    async def lease(self, wanted: Wanted) -> AsyncIterator[ScriptedRunner]:
        self.wanted.append(wanted)
        yield self.runner

    def unload(self, key: str) -> None:
        self.unloaded.append(key)


def spec(**changes: Any) -> ModelSpec:
    facts = GGUFFacts(architecture="llama", n_ctx_train=100, size_bytes=1000)
    base: dict[str, Any] = {
        "name": ModelName.parse("m"),
        "manifest_digest": "0" * 64,
        "modified_ns": 0,
        "config": ModelConfig(model_family="llama"),
        "weights": Path("/blobs/m"),
        "chat_template": TEMPLATE,
        "capabilities": ("completion",),
        "facts": facts,
    }
    return ModelSpec(**(base | changes))


def serving(
    runner: ScriptedRunner,
    model: ModelSpec | Exception | None = None,
    settings: GenerationSettings = GenerationSettings(),  # noqa: B008  frozen
) -> tuple[Generation, OneRunner]:
    def find(name: ModelName) -> ModelSpec:
        if isinstance(model, Exception):
            raise model
        return model or spec()

    scheduler: Any = OneRunner(runner)
    devices = Devices(host_free_bytes=2**34, host_total_bytes=2**34)
    return Generation(find, scheduler, settings, lambda: devices), scheduler


def chat(text: str = "hi", **changes: Any) -> ChatRequest:
    fields: dict[str, Any] = {"model": "m", "messages": (Message("user", text),), "arrived_ns": time.monotonic_ns()}
    return ChatRequest(**(fields | changes))


def generate(prompt: str = "hi", **changes: Any) -> GenerateRequest:
    return GenerateRequest(model="m", prompt=prompt, arrived_ns=time.monotonic_ns(), **changes)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 10))


def events(stream: AsyncGenerator[Any, None]) -> list[Any]:
    async def collect() -> list[Any]:
        return [event async for event in stream]

    return run(collect())


def embed(**changes: Any) -> EmbedRequest:
    return EmbedRequest(model="m", arrived_ns=time.monotonic_ns(), **changes)


THINKING_TEMPLATE = (
    "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}[{{ .Role }}]{{ .Content }}{{ end }}"
)


def rendered(**changes: Any) -> ModelSpec:
    base: dict[str, Any] = {"template": THINKING_TEMPLATE, "prompt_source": PromptSource.GO_TEMPLATE}
    return spec(**(base | changes))
