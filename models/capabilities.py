"""What a model can do, and which of its templates writes its prompts: pure rules over texts and facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from models.gguf.facts import GGUFFacts
from models.gguf.glance import Glance

DEFAULT_TEMPLATE: Final = "{{ .Prompt }}"
"""The Go template of a model that has none."""

SAFETENSORS: Final = "safetensors"
GPT_OSS_FAMILIES: Final = ("gptoss", "gpt-oss")


class Described(Protocol):
    """What these rules read of a model's config."""

    @property
    def model_format(self) -> str: ...
    @property
    def model_family(self) -> str: ...
    @property
    def renderer(self) -> str: ...
    @property
    def parser(self) -> str: ...
    @property
    def capabilities(self) -> tuple[str, ...]: ...


class Capability(StrEnum):
    """What clients are told a model can do."""

    COMPLETION = "completion"
    TOOLS = "tools"
    INSERT = "insert"
    VISION = "vision"
    AUDIO = "audio"
    EMBEDDING = "embedding"
    THINKING = "thinking"
    IMAGE = "image"


class PromptSource(StrEnum):
    """Who writes the prompt. All but `CHAT_TEMPLATE` are the "rendered" path, whose output the server parses."""

    RENDERER = "renderer"
    """The built-in renderer that the config names."""
    HARMONY = "harmony"
    """The Go template of a gpt-oss model, its output in harmony's channels."""
    GO_TEMPLATE = "go_template"
    CHAT_TEMPLATE = "gguf_chat_template"
    """The file's Jinja template, or the engine's default when it has none ("native" path)."""

    @property
    def is_native(self) -> bool:
        return self is PromptSource.CHAT_TEMPLATE


_TOOLS, _THINKING = frozenset({Capability.TOOLS}), frozenset({Capability.THINKING})
_BOTH, _NEITHER = _TOOLS | _THINKING, frozenset[Capability]()

PARSER_CAPABILITIES: Final = MappingProxyType(
    {
        "qwen3": _TOOLS, "qwen3-thinking": _BOTH, "qwen3.5": _BOTH, "ornith": _BOTH, "qwen3-coder": _TOOLS,
        "qwen3-vl-instruct": _TOOLS, "qwen3-vl-thinking": _BOTH, "ministral": _TOOLS, "passthrough": _NEITHER,
        "harmony": _BOTH, "cogito": _BOTH, "deepseek3": _BOTH, "cohere": _BOTH, "glimmer": _BOTH, "olmo3": _TOOLS,
        "olmo3-think": _THINKING, "nemotron-3-nano": _BOTH, "nemotron-3.5-nano": _BOTH, "functiongemma": _TOOLS,
        "glm-4.7": _BOTH, "glm-ocr": _TOOLS, "gemma4": _BOTH, "gemma4-no-thinking": _TOOLS, "lfm2": _TOOLS,
        "lfm2-thinking": _BOTH, "laguna": _BOTH, "poolside-v1": _BOTH,
    }
)  # fmt: skip
"""Built-in parser → what it can take out of a reply (registry-store-cli 10.6)."""


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """A TEMPLATE layer and what was found in it: the variables it uses (lower case), whether thinking tags show."""

    text: str
    variables: frozenset[str]
    has_thinking_tags: bool

    @classmethod
    def parse(cls, text: str) -> GoTemplate:
        """Raises: TemplateError if the text is not a Go template."""
        from models.templates.go.analysis import analyse  # needed only by models that have such a template

        facts = analyse(text)
        return cls(text, facts.variables, facts.thinking_tags is not None)

    @property
    def capabilities(self) -> frozenset[Capability]:
        marks = {
            Capability.TOOLS: "tools" in self.variables,
            Capability.INSERT: "suffix" in self.variables,
            Capability.THINKING: self.has_thinking_tags,
        }
        return frozenset(capability for capability, is_marked in marks.items() if is_marked)

    @property
    def has_tool_round_trip(self) -> bool:
        """Whether it shows calls and results of tools too."""
        marks = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")
        return {"tools", "toolcalls"} <= self.variables and any(mark in self.text for mark in marks)


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A Jinja template, judged by the words in it, as Ollama does (prompting 2.3)."""

    text: str

    @property
    def capabilities(self) -> frozenset[Capability]:
        has_tools = "tools" in self.text or "tool_call" in self.text
        return (_TOOLS if has_tools else _NEITHER) | (_THINKING if self._thinks else _NEITHER)

    @property
    def _thinks(self) -> bool:
        if "<think>" in self.text and "</think>" in self.text:
            return True
        splits = "content.split('</think>')" in self.text or 'content.split("</think>")' in self.text
        return splits and "reasoning_content" not in self.text and "<SPECIAL_12>" not in self.text

    @property
    def has_tool_round_trip(self) -> bool:
        """Whether it shows calls and results of tools too."""
        has_calls = "tool_calls" in self.text or "assistant_tool_call" in self.text
        return Capability.TOOLS in self.capabilities and has_calls and any(mark in self.text for mark in _RESULT_MARKS)


_RESULT_MARKS: Final = (
    *("tool_response", "tool_results", "ipython", "message.role == 'tool'", 'message.role == "tool"'),
    *(f"role{inner}] == {outer}tool{outer}" for inner in "'\"" for outer in "'\""),
)


# --------------------------------------------------------------------------------------------------------------------
# Which template writes the prompt


def choose_prompt_source(
    config: Described, go: GoTemplate | None, chat: ChatTemplate | None, *, go_templates: bool | None
) -> PromptSource:
    """Who writes the prompts of a model.

    `go_templates`: the setting OLLAMA_GO_TEMPLATE, None when it is not set.
    # Compat: prompting 2.3, registry-store-cli 10.5.
    """
    if config.renderer:
        return PromptSource.RENDERER
    if go is not None and config.model_family in GPT_OSS_FAMILIES and "<|start|>" in go.text and "<|end|>" in go.text:
        return PromptSource.HARMONY
    if config.parser or config.model_format == SAFETENSORS:
        return PromptSource.GO_TEMPLATE
    if go is None:
        return PromptSource.CHAT_TEMPLATE
    if go_templates is None:
        go_templates = chat is None or not prefers_chat_template(go, chat)
    return PromptSource.GO_TEMPLATE if go_templates else PromptSource.CHAT_TEMPLATE


def prefers_chat_template(go: GoTemplate, chat: ChatTemplate) -> bool:
    """Whether the Jinja template does more than the Go template.

    # Compat: prompting 2.3.
    """
    if len(chat.capabilities) > len(go.capabilities):
        return chat.has_tool_round_trip or not go.has_tool_round_trip
    if chat.capabilities != go.capabilities or Capability.TOOLS not in chat.capabilities:
        return False
    return chat.has_tool_round_trip and not go.has_tool_round_trip


# --------------------------------------------------------------------------------------------------------------------
# Capabilities


@dataclass(frozen=True, slots=True)
class ProjectorFacts:
    """What a projector file says of itself."""

    has_audio_encoder: bool = False
    vision_type: str = ""


def show_capabilities(
    config: Described,
    facts: GGUFFacts | None,
    projectors: Iterable[ProjectorFacts],
    source: PromptSource,
    go: GoTemplate | None,
    chat: ChatTemplate | None,
) -> tuple[str, ...]:
    """What `/api/show` reports and requests are checked against, each once, in Ollama's order.

    `facts` None: there are no weights that can be read.
    # Compat: registry-store-cli 10.6, the list for show.
    """
    found: list[str] = list(config.capabilities)
    if facts is not None:
        if source.is_native and chat is not None:
            found += _ordered(chat.capabilities)
        found.append(Capability.EMBEDDING if facts.is_embedding else Capability.COMPLETION)
        found += [Capability.VISION] * facts.has_vision + [Capability.AUDIO] * facts.has_audio
    for projector in projectors:
        found.append(Capability.VISION)
        if projector.has_audio_encoder and projector.vision_type != "gemma3nv":
            found.append(Capability.AUDIO)
    if go is not None and not source.is_native:
        found += _ordered(go.capabilities)
    found += _ordered(PARSER_CAPABILITIES.get(config.parser, _NEITHER))
    if config.model_family in GPT_OSS_FAMILIES:
        found.append(Capability.THINKING)
    removed = _removed(config, facts)
    return tuple(str(c) for c in dict.fromkeys(found) if c not in removed)


def _removed(config: Described, facts: GGUFFacts | None) -> frozenset[str]:
    """What a model's files promise, but its engine cannot do (registry-store-cli 10.6, point 9)."""
    removed: set[str] = set()
    if "nemotron_h_omni" in (config.model_family, facts.architecture if facts else ""):
        removed.add(Capability.AUDIO)
    if config.model_format == SAFETENSORS:
        is_gemma4 = config.renderer.startswith("gemma4")
        is_nemotron = config.renderer == "nemotron-3-nano"
        removed |= {Capability.AUDIO} if is_gemma4 or is_nemotron or config.renderer == "glimmer" else set()
        removed |= {Capability.VISION} if is_gemma4 or is_nemotron else set()
    return frozenset(removed)


def list_capabilities(
    config: Described, weights: Glance, go: GoTemplate | None, *, has_projector: bool
) -> tuple[str, ...]:
    """What `/api/tags` reports: Jinja templates are not looked at.

    # Compat: registry-store-cli 10.6, the list for tags.
    """
    parser = PARSER_CAPABILITIES.get(config.parser, _NEITHER)
    template = parser | (go.capabilities if go is not None else _NEITHER)
    if config.model_family in GPT_OSS_FAMILIES:
        template |= _THINKING
    found: list[str] = list(weights.media)
    if weights.is_readable:
        found.append(Capability.EMBEDDING if weights.is_embedding else Capability.COMPLETION)
    found += [*config.capabilities, *_ordered(template)]
    return tuple(map(str, dict.fromkeys([*found, Capability.VISION] if has_projector else found)))


def _ordered(capabilities: frozenset[Capability]) -> list[Capability]:
    """The order in which a template's capabilities are found."""
    return [c for c in (Capability.TOOLS, Capability.INSERT, Capability.THINKING) if c in capabilities]
