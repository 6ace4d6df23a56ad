"""From a request and a model to the prompt, and to the parser that reads the reply.

Who writes the prompt is in `prompt_writers.py`. Here is what the endpoints do differently, and what needs a runner:
counting tokens, so that old messages go when the context is too small, and turning earlier tokens back into text.
Rendering runs in a thread: a model's template is a program of its own, and may take its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from models.errors import BadRequest, RunnerError
from models.library import ModelSpec
from models.runner.process import RunnerProcess
from models.templates.chat import Message, Think
from models.templates.go.rendering import go_template
from models.templates.history import without_old_thoughts, without_oldest
from models.templates.images import tag_images
from models.templates.schema import parse_message
from server.prompt_writers import (
    NativeWriter,
    PlainParser,
    Prompt,
    RenderedWriter,
    Writer,
    count_images,
    model_template,
    raw_parser,
    writer_of,
)
from server.requests import ChatRequest, GenerateRequest
from server.tool_choice import offered_tools

logger = logging.getLogger(__name__)

DROPPED_IN_TURN = 4
"""Messages dropped one by one; a template that refuses what then comes first is so heard as in the original."""
IMAGE_TOKENS = 768
"""Compat: prompting 3.1: what an image counts when messages are dropped."""


async def for_chat(spec: ModelSpec, request: ChatRequest, think: Think | None, runner: RunnerProcess) -> Prompt:
    """The prompt of a chat. Raises: TemplateError, InvalidChat, RunnerError."""
    messages = (*_opening(spec, request.messages), *request.messages)
    messages = without_old_thoughts(messages, spec.config.model_family, spec.name.model)
    writer = writer_of(spec, offered_tools(request), think, request.template_kwargs)
    return await _fitting(messages, writer, spec, request, runner)


async def for_generate(spec: ModelSpec, request: GenerateRequest, think: Think | None, runner: RunnerProcess) -> Prompt:
    """The prompt of a completion. Raises: TemplateError, BadRequest, RunnerError."""
    if request.raw:
        parser = PlainParser() if request.scores_prompt else raw_parser(spec, request.prompt, think)
        return Prompt(request.prompt, parser, len(request.images), media=request.images)
    prompt = await asyncio.to_thread(_completion, spec, request, think)
    if request.context:
        prompt = replace(prompt, text=await _earlier_text(request.context, runner) + prompt.text)
    return replace(prompt, is_guarded=True)


def _completion(spec: ModelSpec, request: GenerateRequest, think: Think | None) -> Prompt:
    override = go_template(request.template) if request.template else None
    if request.suffix:
        template = override or model_template(spec)
        return Prompt(template.render_infill(request.prompt, request.suffix, think), PlainParser())
    system = request.system or spec.system
    messages = [Message("system", system)] if system else []
    if request.context is None:
        messages += map(parse_message, spec.messages)
    messages.append(Message("user", request.prompt, images=request.images))
    if override is not None:
        text = override.render(messages, (), think)
        return Prompt(text, PlainParser(), len(request.images), media=request.images)
    if spec.prompt_source.is_native and spec.chat_template:
        # Compat: http-api 6.11: thoughts of models served through their own template stay in the text.
        writer = NativeWriter(spec, (), think, request.template_kwargs)
        tagged, media = tag_images(messages)
        text = writer.text([replace(message, images=()) for message in tagged])
        return Prompt(text, PlainParser(), len(media), media=media)
    # Compat: prompting 1.9: here, the parser is told what the request says, not what it then defaults to.
    return RenderedWriter(spec, (), think, expected=request.think).prompt(messages)


async def _earlier_text(tokens: tuple[int, ...], runner: RunnerProcess) -> str:
    try:
        return await runner.detokenize(tokens)
    except BadRequest as error:  # Compat: the original lets its engine find out, and reports that as a failure
        raise RunnerError(f"detokenize error: {error}") from error


def _opening(spec: ModelSpec, asked: Sequence[Message]) -> list[Message]:
    """What the model puts before a chat: its system text, unless the chat brings its own, and its messages."""
    stored = [parse_message(m) for m in spec.messages]
    if spec.system and asked[0].role != "system":
        return [Message("system", spec.system), *stored]
    return stored


async def _fitting(
    messages: Sequence[Message], writer: Writer, spec: ModelSpec, request: ChatRequest, runner: RunnerProcess
) -> Prompt:
    """The prompt without the oldest messages, as many as it takes for it to fit the context.

    # Compat: prompting 3.1, 3.3: system messages and the last message stay; dropping starts at the front. The original
    tries one message after the other. A chat of a thousand would be rendered and counted a thousand times, so after the
    first few this halves what is left: without more messages a prompt is not longer.
    """
    fewest, most = 0, len(messages) - 1 if request.truncate else 0
    best: Prompt | None = None
    whole: Prompt | None = None
    while fewest < most:
        n_oldest = fewest if fewest < DROPPED_IN_TURN else (fewest + most) // 2
        kept = without_oldest(messages, n_oldest)
        prompt = await asyncio.to_thread(writer.prompt, kept)
        whole = whole or prompt
        if await _fits(prompt, kept, spec, runner):
            most, best = n_oldest, prompt
        else:
            fewest = n_oldest + 1
    kept = without_oldest(messages, most)
    if best is None:
        best = await asyncio.to_thread(writer.prompt, kept)
    n_dropped = len(messages) - len(kept)
    if n_dropped and whole:
        logger.info("the oldest %d of %d messages do not fit the context", n_dropped, len(messages))
        n_lost = await _n_tokens(whole, messages, spec, runner) - await _n_tokens(best, kept, spec, runner)
        best = replace(best, n_dropped=n_dropped, n_dropped_tokens=max(n_lost, 0))
    if spec.prompt_source.is_native:  # Compat: what the original says of such a prompt counts all that it was given
        return replace(best, n_images=count_images(messages))
    return best


async def _fits(prompt: Prompt, messages: Sequence[Message], spec: ModelSpec, runner: RunnerProcess) -> bool:
    if len(prompt.text.encode("utf-8", "replace")) + _image_tokens(messages, spec) <= runner.ready.n_ctx:
        return True  # a token has one byte at least
    return await _n_tokens(prompt, messages, spec, runner) <= runner.ready.n_ctx


async def _n_tokens(prompt: Prompt, messages: Sequence[Message], spec: ModelSpec, runner: RunnerProcess) -> int:
    return len(await runner.tokenize(prompt.text)) + _image_tokens(messages, spec)


def _image_tokens(messages: Sequence[Message], spec: ModelSpec) -> int:
    return IMAGE_TOKENS * count_images(messages) if spec.projectors else 0
