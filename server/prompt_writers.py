"""Who writes a model's prompt (chat template, TEMPLATE layer, built-in renderer), and who reads the reply to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from models.capabilities import DEFAULT_TEMPLATE, PromptSource
from models.gguf.facts import GGUFFacts
from models.library import ModelSpec
from models.parsers.events import Delta, StreamParser
from models.parsers.harmony_names import HarmonyNames
from models.parsers.inferred import InferredParser
from models.parsers.known_calls import BUILT_IN
from models.parsers.native import native_parser
from models.parsers.stepped import SteppedParser
from models.parsers.steps import Expectations, ParserKind
from models.parsers.syntax import CallForm, HarmonyCalls, JsonCalls, tags_of
from models.parsers.table import find_parser
from models.parsers.text import trim
from models.parsers.tools import preserved_tokens
from models.runner.messages import MixedPrompt
from models.runner.settings import Thought
from models.templates.chat import Message, Think, Tool
from models.templates.go.analysis import analyse
from models.templates.go.rendering import GoTemplate, go_template
from models.templates.history import without_leading_bos
from models.templates.images import tag_images
from models.templates.native import MEDIA_MARKER, NativeModel, NativePrompt, render_native
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.table import choose_renderer, find_renderer
from server.media import at_markers, at_tags
from server.thought_forms import HARMONY, ThoughtForm, built_in_thoughts, thoughts_between

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with what is needed to read the reply.

    `is_guarded`: a reply that repeats itself is abandoned. `thoughts`: their tags, None where the model is not to
    think. `shown`: special tokens that the parser reads, and the engine therefore must not hide. `calls`: how the model
    writes calls, None where that is not known. `told_names`: the names of tools that the model knows by others.
    `media`: images and sounds, which stand where `[img-N]` does or, if it is said, the `marker`. `n_images`: of the
    whole request. `n_dropped`: messages left out to make it fit, and how many tokens they were.
    """

    text: str
    parser: StreamParser
    n_images: int = 0
    is_guarded: bool = True
    thoughts: ThoughtForm | None = None
    shown: tuple[str, ...] = ()
    calls: CallForm | None = None
    told_names: Mapping[str, str] = field(default_factory=dict)
    media: tuple[bytes, ...] = ()
    marker: str = ""
    n_dropped: int = 0
    n_dropped_tokens: int = 0

    @property
    def mixed(self) -> MixedPrompt | None:
        """The text with the media in it; None if there are none. Raises: BadRequest if one has no place."""
        if not self.media:
            return None
        return at_markers(self.text, self.media, self.marker) if self.marker else at_tags(self.text, self.media)

    @property
    def thought(self) -> Thought | None:
        """What may come before a constrained answer."""
        return self.thoughts.before_answer if self.thoughts else None

    @property
    def thought_alone(self) -> Thought | None:
        """A thought without what leads from it to the answer."""
        return self.thoughts.alone if self.thoughts else None


class PlainParser:
    """Everything is content."""

    def feed(self, text: str) -> list[Delta]:
        """The text as it is."""
        return [Delta(text)]

    def finish(self) -> list[Delta]:
        """Nothing was held back."""
        return []


class Writer(Protocol):
    """Writes the prompt of one model, with the tools and the thinking of one request."""

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The prompt with what reads its reply. Raises: TemplateError, InvalidChat."""
        ...


def writer_of(
    spec: ModelSpec, tools: Sequence[Tool], think: Think | None, variables: Mapping[str, Any] = NOTHING
) -> Writer:
    """Who writes the chats of this model; only its own chat template has a use for `variables`."""
    match spec.prompt_source:
        case PromptSource.CHAT_TEMPLATE:
            return NativeWriter(spec, tools, think, variables)
        case PromptSource.HARMONY if think is not None and think.level == "max":
            high = replace(think, level="high")  # Compat: prompting 5.1
            return RenderedWriter(spec, tools, high, expected=high)
        case _:
            return RenderedWriter(spec, tools, think, expected=think)


def count_images(messages: Sequence[Message]) -> int:
    """Images of all messages together."""
    return sum(len(m.images) for m in messages)


def media_of(messages: Sequence[Message]) -> tuple[bytes, ...]:
    """Images and sounds of all messages, in order."""
    return tuple(content for message in messages for content in message.images)


@dataclass(frozen=True, slots=True)
class NativeWriter:
    """The model's own chat template."""

    spec: ModelSpec
    tools: Sequence[Tool]
    think: Think | None
    variables: Mapping[str, Any] = field(default_factory=dict)

    def text(self, messages: Sequence[Message]) -> str:
        """The prompt alone. Raises: TemplateError, InvalidChat."""
        return self._render(messages).text

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        rendered = self._render(messages)
        traits = rendered.traits
        expectations = Expectations(self.tools)
        parser = native_parser(traits.reasoning, traits.calls, expectations, rendered.primer, wrappers=traits.wrappers)
        read = tags_of(traits.calls) if self.tools or isinstance(traits.calls, HarmonyCalls) else ()
        return Prompt(
            rendered.text,
            parser,
            count_images(messages),
            is_guarded=False,
            thoughts=self._thoughts(rendered),
            shown=(*tags_of(traits.reasoning), *read),
            calls=traits.calls,
            media=media_of(messages),
            marker=MEDIA_MARKER,
        )

    def _thoughts(self, rendered: NativePrompt) -> ThoughtForm | None:
        tags = rendered.traits.reasoning
        if isinstance(rendered.traits.calls, HarmonyCalls):
            return HARMONY
        if tags is None or (self.think is not None and not self.think.enabled):
            return None
        start, end = tags.start.strip(), tags.end.strip()
        return thoughts_between(start, end, rendered.text)

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
        return render_native(model, messages, self.tools, self.think, variables=self.variables)


@dataclass(frozen=True, slots=True)
class RenderedWriter:
    """The model's TEMPLATE layer or the renderer its config names. `expected`: what the reply's parser is told."""

    spec: ModelSpec
    tools: Sequence[Tool]
    think: Think | None
    expected: Think | None

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        text = self._text(messages)
        kind = self._built_in()
        n_images = count_images(messages)
        thinks = self.think is not None and self.think.enabled
        if kind is not None:
            return Prompt(
                text,
                SteppedParser(kind.make, Expectations(self.tools, messages[-1], self.expected)),
                n_images,
                thoughts=built_in_thoughts(self._parser_name, text) if kind.has_thinking and thinks else None,
                shown=kind.preserved,
                calls=BUILT_IN.get(self._parser_name),
                told_names=self._told_names() if self._is_harmony else {},
                media=media_of(messages),
            )
        facts = analyse(_template_text(self.spec))
        names = [tool["function"]["name"] for tool in self.tools]
        inferred = _inferred_parser(self.spec, text, names, self.think)
        thoughts = thoughts_between(*facts.thinking_tags, text) if facts.thinking_tags and thinks else None
        shown = preserved_tokens(facts.tools_tag) if names else ()
        calls = _inferred_calls(facts.tools_tag)
        media = media_of(messages)
        return Prompt(text, inferred, n_images, thoughts=thoughts, shown=shown, calls=calls, media=media)

    def _built_in(self) -> ParserKind | None:
        return find_parser(self._parser_name)

    @property
    def _parser_name(self) -> str:
        return "harmony" if self._is_harmony else self.spec.config.parser

    def _text(self, messages: Sequence[Message]) -> str:
        tools = self._told_tools()
        name = self.spec.config.renderer
        if not name:
            text, bos = model_template(self.spec).render(tag_images(messages)[0], tools, self.think), ""
        else:
            model = self.spec.name
            name = choose_renderer(name, (model.display, model.full), self.spec.config.model_type)
            renderer = find_renderer(name)
            text, bos = renderer.render(Conversation(messages, tools, self.think)), renderer.leading_bos
        return without_leading_bos(text, bos, adds_bos=_adds_bos(self.spec.facts))

    def _told_tools(self) -> Sequence[Tool]:
        """The tools as the model is told of them: harmony cannot say every name."""
        return self._harmony_names().renamed(self.tools) if self._is_harmony else self.tools

    def _told_names(self) -> Mapping[str, str]:
        originals = (tool["function"]["name"] for tool in self.tools)
        return dict(zip(originals, self._harmony_names().converted, strict=True))

    def _harmony_names(self) -> HarmonyNames:
        return HarmonyNames(tool["function"]["name"] for tool in self.tools)

    @property
    def _is_harmony(self) -> bool:
        return self.spec.prompt_source is PromptSource.HARMONY or self.spec.config.parser == "harmony"


def raw_parser(spec: ModelSpec, prompt: str, think: Think | None) -> StreamParser:
    """What reads the reply to a prompt that is sent as it is.

    # Compat: prompting 1.9: thoughts are split off where the TEMPLATE shows how.
    """
    return PlainParser() if spec.prompt_source.is_native else _inferred_parser(spec, prompt, (), think)


def model_template(spec: ModelSpec) -> GoTemplate:
    """The model's TEMPLATE layer, or the default. Raises: TemplateError."""
    return go_template(_template_text(spec))


def _template_text(spec: ModelSpec) -> str:
    return spec.template if spec.template is not None else DEFAULT_TEMPLATE


def _inferred_parser(spec: ModelSpec, text: str, tool_names: Sequence[str], think: Think | None) -> InferredParser:
    """What reads the reply to this prompt, by the tags that the model's TEMPLATE shows."""
    facts = analyse(_template_text(spec))
    tags = facts.thinking_tags if think is not None and think.enabled else None
    is_thinking = tags is not None and trim(text).endswith(tags[0])
    return InferredParser(tags, facts.tools_tag, tool_names, is_thinking=is_thinking)


def _inferred_calls(tag: str) -> JsonCalls:
    """Calls as they are searched for behind a tag that a TEMPLATE shows."""
    in_array = tag.endswith("[")
    return JsonCalls(tag.removesuffix("[").removesuffix("{"), "", in_array=in_array)


def _adds_bos(facts: GGUFFacts) -> bool:
    # Compat: prompting 3.4.
    return facts.tokenizer_pre in ("lfm2", "gemma4") or facts.tokenizer_model == "gemma4" or bool(facts.add_bos)
