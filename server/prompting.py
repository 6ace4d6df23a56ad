"""From a request and a model to the prompt, and to the parser that reads the reply.

Which template writes the prompt is decided with the model (`ModelSpec.prompt_source`); how it does is in
`models/templates`. Here is what needs a runner: counting tokens, so that old messages go when the context is too small,
and turning the tokens of an earlier reply back into text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from models.capabilities import DEFAULT_TEMPLATE, PromptSource
from models.errors import BadRequest, RunnerError
from models.gguf.facts import GGUFFacts
from models.library import ModelSpec
from models.parsers.events import Delta, StreamParser
from models.parsers.inferred import InferredParser
from models.parsers.native import NativeParser
from models.parsers.steps import Expectations, SteppedParser
from models.parsers.table import find_parser
from models.parsers.text import trim
from models.runner.process import RunnerProcess
from models.templates.chat import Message, Think, Tool
from models.templates.go.analysis import analyse
from models.templates.go.rendering import GoTemplate, go_template
from models.templates.history import shortened, without_leading_bos, without_old_thoughts
from models.templates.images import tag_images
from models.templates.native import NativeModel, NativePrompt, render_native
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.table import find_renderer
from models.templates.schema import parse_message
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
    messages = without_old_thoughts(messages, spec.config.model_family, spec.name.model)
    writer = _writer(spec, request.tools, think)
    return writer.prompt(await _fit(messages, writer, spec, request, runner))


async def for_generate(spec: ModelSpec, request: GenerateRequest, think: Think | None, runner: RunnerProcess) -> Prompt:
    """The prompt of a completion. Raises: TemplateError, BadRequest, RunnerError."""
    if request.raw:
        return Prompt(request.prompt, _raw_parser(spec, request.prompt, think), len(request.images))
    prompt = _completion(spec, request, think)
    if request.context:
        prompt = replace(prompt, text=await _earlier_text(request.context, runner) + prompt.text)
    return replace(prompt, is_guarded=True)


def _completion(spec: ModelSpec, request: GenerateRequest, think: Think | None) -> Prompt:
    override = _override(request)
    if request.suffix:
        template = override or _model_template(spec)
        return Prompt(template.render_infill(request.prompt, request.suffix, think), PlainParser())
    system = request.system or spec.system
    messages = [Message("system", system)] if system else []
    if request.context is None:
        messages += map(parse_message, spec.messages)
    messages.append(Message("user", request.prompt, images=request.images))
    if override is not None:
        return Prompt(override.render(messages, (), think), PlainParser(), len(request.images))
    if spec.prompt_source.is_native and spec.chat_template:
        # Compat: http-api 6.11: thoughts of models served through their own template stay in the text.
        return Prompt(_NativeWriter(spec, (), think).text(messages), PlainParser(), len(request.images))
    return _RenderedWriter(spec, (), think).prompt(messages)


async def _earlier_text(tokens: tuple[int, ...], runner: RunnerProcess) -> str:
    try:
        return await runner.detokenize(tokens)
    except BadRequest as error:  # Compat: the original lets its engine find out, and reports that as a failure
        raise RunnerError(f"detokenize error: {error}") from error


# --------------------------------------------------------------------------------------------------------------------
# Messages


def _opening(spec: ModelSpec, asked: Sequence[Message]) -> list[Message]:
    """What the model puts before a chat: its system text, unless the chat brings its own, and its messages."""
    stored = [parse_message(m) for m in spec.messages]
    if spec.system and asked[0].role != "system":
        return [Message("system", spec.system), *stored]
    return stored


def _n_images(messages: Sequence[Message]) -> int:
    return sum(len(m.images) for m in messages)


# --------------------------------------------------------------------------------------------------------------------
# Who writes the prompt


class _Writer(Protocol):
    """Writes the prompt of one model, with the tools and the thinking of one request."""

    def text(self, messages: Sequence[Message]) -> str:
        """The prompt alone. Raises: TemplateError, InvalidChat."""
        ...

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The prompt with what reads its reply. Raises: TemplateError, InvalidChat."""
        ...


def _writer(spec: ModelSpec, tools: Sequence[Tool], think: Think | None) -> _Writer:
    match spec.prompt_source:
        case PromptSource.CHAT_TEMPLATE:
            return _NativeWriter(spec, tools, think)
        case PromptSource.HARMONY if think is not None and think.level == "max":
            return _RenderedWriter(spec, tools, replace(think, level="high"))  # Compat: prompting 5.1
        case _:
            return _RenderedWriter(spec, tools, think)


@dataclass(frozen=True, slots=True)
class _NativeWriter:
    """The model's own chat template."""

    spec: ModelSpec
    tools: Sequence[Tool]
    think: Think | None

    def text(self, messages: Sequence[Message]) -> str:
        return self._render(messages).text

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        rendered = self._render(messages)
        names = [tool["function"]["name"] for tool in self.tools]
        parser = NativeParser(rendered.traits.reasoning, rendered.traits.calls, names, rendered.primer)
        return Prompt(rendered.text, parser, _n_images(messages), is_guarded=False)

    def _render(self, messages: Sequence[Message]) -> NativePrompt:
        facts = self.spec.facts
        model = NativeModel(
            chat_template=self.spec.chat_template or "",
            bos_token=facts.bos_token,
            eos_token=facts.eos_token,
            adds_bos=bool(facts.add_bos),
            adds_eos=bool(facts.add_eos),
            takes_media=bool(self.spec.projectors),
        )
        return render_native(model, messages, self.tools, self.think)


@dataclass(frozen=True, slots=True)
class _RenderedWriter:
    """The model's TEMPLATE layer or the built-in renderer its config names; the same for what reads the reply."""

    spec: ModelSpec
    tools: Sequence[Tool]
    think: Think | None

    def text(self, messages: Sequence[Message]) -> str:
        name = self.spec.config.renderer
        if not name:
            text, bos = _model_template(self.spec).render(tag_images(messages)[0], self.tools, self.think), ""
        else:
            renderer = find_renderer(name)
            text, bos = renderer.render(Conversation(messages, self.tools, self.think)), renderer.leading_bos
        return without_leading_bos(text, bos, adds_bos=_adds_bos(self.spec.facts))

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        text = self.text(messages)
        return Prompt(text, self._parser(messages, text), _n_images(messages))

    def _parser(self, messages: Sequence[Message], text: str) -> StreamParser:
        is_harmony = self.spec.prompt_source is PromptSource.HARMONY
        kind = find_parser("harmony" if is_harmony else self.spec.config.parser)
        if kind is not None:
            return SteppedParser(kind.make(Expectations(self.tools, messages[-1], self.think)))
        names = [tool["function"]["name"] for tool in self.tools]
        return _inferred_parser(self.spec, text, names, self.think)


def _adds_bos(facts: GGUFFacts) -> bool:
    # Compat: prompting 3.4.
    return facts.tokenizer_pre in ("lfm2", "gemma4") or facts.tokenizer_model == "gemma4" or bool(facts.add_bos)


def _inferred_parser(spec: ModelSpec, text: str, tool_names: Sequence[str], think: Think | None) -> InferredParser:
    """What reads the reply to this prompt, by the tags that the model's TEMPLATE shows."""
    facts = analyse(_template_text(spec))
    tags = facts.thinking_tags if think is not None and think.enabled else None
    is_thinking = tags is not None and trim(text).endswith(tags[0])
    return InferredParser(tags, facts.tools_tag, tool_names, is_thinking=is_thinking)


def _raw_parser(spec: ModelSpec, prompt: str, think: Think | None) -> StreamParser:
    # Compat: prompting 1.9: a raw prompt is sent as it is, but its reply's thoughts are split off where they can be.
    return PlainParser() if spec.prompt_source.is_native else _inferred_parser(spec, prompt, (), think)


def _template_text(spec: ModelSpec) -> str:
    return spec.template if spec.template is not None else DEFAULT_TEMPLATE


def _model_template(spec: ModelSpec) -> GoTemplate:
    return go_template(_template_text(spec))


def _override(request: GenerateRequest) -> GoTemplate | None:
    return go_template(request.template) if request.template else None


# --------------------------------------------------------------------------------------------------------------------
# What fits the context


async def _fit(
    messages: Sequence[Message], writer: _Writer, spec: ModelSpec, request: ChatRequest, runner: RunnerProcess
) -> Sequence[Message]:
    """The messages without the oldest ones, as many as it takes for the prompt to fit the context.

    # Compat: prompting 3.1, 3.3: system messages and the last message stay; dropping starts at the front.
    """
    if not request.truncate or len(messages) < 2:
        return messages
    kept = messages
    for kept in shortened(messages):
        if await _fits(kept, writer, spec, runner):
            break
    if len(kept) < len(messages):
        logger.info("%d of %d messages do not fit the context", len(messages) - len(kept), len(messages))
    return kept


async def _fits(messages: Sequence[Message], writer: _Writer, spec: ModelSpec, runner: RunnerProcess) -> bool:
    text = writer.text(messages)
    images = IMAGE_TOKENS * _n_images(messages) if spec.projectors else 0
    if len(text.encode("utf-8", "replace")) + images <= runner.ready.n_ctx:
        return True  # a token has one byte at least
    return len(await runner.tokenize(text)) + images <= runner.ready.n_ctx
