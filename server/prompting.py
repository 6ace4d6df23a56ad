"""From a request and a model to the prompt, and to the parser that reads the reply.

Which template writes the prompt is decided with the model (`ModelSpec.prompt_source`); how it does is in
`models/templates`. Here is what needs a runner: counting tokens, so that old messages go when the context is too small,
and turning the tokens of an earlier reply back into text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.errors import BadRequest, RunnerError
from models.library import ModelSpec
from models.parsers.events import Delta, StreamParser, ToolCall
from models.parsers.native import NativeParser
from models.runner.process import RunnerProcess
from models.templates.chat import Message, Think
from models.templates.native import NativeModel, NativePrompt, render_native
from server.requests import ChatRequest, GenerateRequest

logger = logging.getLogger(__name__)

IMAGE_TOKENS = 768
"""Compat: prompting 3.1: what an image counts when messages are dropped."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with what is needed to read the reply. `is_guarded`: a reply that repeats itself is abandoned."""

    text: str
    parser: StreamParser
    n_images: int = 0
    is_guarded: bool = True


class PlainParser:
    """Everything is content."""

    def feed(self, text: str) -> list[Delta]:
        """The text as it is."""
        return [Delta(text)]

    def finish(self) -> list[Delta]:
        """Nothing was held back."""
        return []


async def for_chat(spec: ModelSpec, request: ChatRequest, think: Think | None, runner: RunnerProcess) -> Prompt:
    """The prompt of a chat. Raises: TemplateError, InvalidChat, RunnerError."""
    messages = (*_opening(spec, request.messages), *request.messages)
    model = _native_model(spec)

    def render(some: Sequence[Message]) -> NativePrompt:
        return render_native(model, some, request.tools, think)

    kept = await _fit(messages, lambda some: render(some).text, spec, request, runner)
    prompt = render(kept)
    names = [tool["function"]["name"] for tool in request.tools]
    parser = NativeParser(prompt.traits.reasoning, prompt.traits.calls, names, prompt.primer)
    return Prompt(prompt.text, parser, _n_images(kept), is_guarded=False)


async def for_generate(spec: ModelSpec, request: GenerateRequest, think: Think | None, runner: RunnerProcess) -> Prompt:
    """The prompt of a completion. Raises: TemplateError, BadRequest, RunnerError."""
    if request.raw:
        return Prompt(request.prompt, PlainParser(), len(request.images))
    system = request.system or spec.system
    messages = [Message("system", system)] if system else []
    if request.context is None:
        messages += map(_stored_message, spec.messages)
    messages.append(Message("user", request.prompt, images=request.images))
    text = render_native(_native_model(spec), messages, (), think).text
    if request.context:
        text = await _earlier_text(request.context, runner) + text
    return Prompt(text, PlainParser(), len(request.images))


async def _earlier_text(tokens: tuple[int, ...], runner: RunnerProcess) -> str:
    try:
        return await runner.detokenize(tokens)
    except BadRequest as error:  # Compat: the original lets its engine find out, and reports that as a failure
        raise RunnerError(f"detokenize error: {error}") from error


# --------------------------------------------------------------------------------------------------------------------
# Messages


def _opening(spec: ModelSpec, asked: Sequence[Message]) -> list[Message]:
    """What the model puts before a chat: its system text, unless the chat brings its own, and its messages."""
    stored = [_stored_message(m) for m in spec.messages]
    if spec.system and asked[0].role != "system":
        return [Message("system", spec.system), *stored]
    return stored


def _stored_message(raw: dict[str, object]) -> Message:
    calls = raw.get("tool_calls")
    return Message(
        role=str(raw.get("role", "")).lower(),
        content=str(raw.get("content", "")),
        thinking=str(raw.get("thinking", "")),
        tool_calls=tuple(map(_stored_call, calls)) if isinstance(calls, list) else (),
        tool_name=str(raw.get("tool_name", "")),
        tool_call_id=str(raw.get("tool_call_id", "")),
    )


def _stored_call(raw: dict[str, object]) -> ToolCall:
    function = raw.get("function")
    function = function if isinstance(function, dict) else {}
    return ToolCall(
        str(function.get("name", "")), function.get("arguments") or {}, function.get("index", 0), str(raw.get("id", ""))
    )


def _n_images(messages: Sequence[Message]) -> int:
    return sum(len(m.images) for m in messages)


async def _fit(
    messages: Sequence[Message],
    render: Callable[[Sequence[Message]], str],
    spec: ModelSpec,
    request: ChatRequest,
    runner: RunnerProcess,
) -> Sequence[Message]:
    """The messages without the oldest ones, as many as it takes for the prompt to fit the context.

    # Compat: prompting 3.1, 3.3: system messages and the last message stay; dropping starts at the front.
    """
    if not request.truncate or len(messages) < 2:
        return messages
    for start in range(len(messages)):
        kept = [m for m in messages[:start] if m.role == "system"] + list(messages[start:])
        if start == len(messages) - 1 or await _fits(kept, render, spec, runner):
            if start:
                logger.info("%d of %d messages do not fit the context", len(messages) - len(kept), len(messages))
            return kept
    raise AssertionError("the last message always stays")


async def _fits(
    messages: Sequence[Message], render: Callable[[Sequence[Message]], str], spec: ModelSpec, runner: RunnerProcess
) -> bool:
    text = render(messages)
    images = IMAGE_TOKENS * _n_images(messages) if spec.projectors else 0
    if len(text.encode("utf-8", "replace")) + images <= runner.ready.n_ctx:
        return True  # a token has one byte at least
    return len(await runner.tokenize(text)) + images <= runner.ready.n_ctx


def _native_model(spec: ModelSpec) -> NativeModel:
    facts = spec.facts
    return NativeModel(
        chat_template=spec.chat_template or "",
        bos_token=facts.bos_token,
        eos_token=facts.eos_token,
        adds_bos=bool(facts.add_bos),
        adds_eos=bool(facts.add_eos),
        takes_media=bool(spec.projectors),
    )
