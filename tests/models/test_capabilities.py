from __future__ import annotations

from typing import Any

import pytest

from models.capabilities import (
    ChatTemplate,
    GoTemplate,
    ProjectorFacts,
    PromptSource,
    choose_prompt_source,
    list_capabilities,
    show_capabilities,
)
from models.gguf.facts import GGUFFacts
from models.gguf.glance import Glance
from models.templates.errors import TemplateError
from registry.manifest import ModelConfig

GO_TOOLS = "{{ range .Messages }}{{ .Content }}{{ end }}{{ .Tools }}"
GO_ROUND_TRIP = GO_TOOLS + '{{ range .Messages }}{{ if eq .Role "tool" }}{{ .ToolCalls }}{{ end }}{{ end }}'
GO_THINKING = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}"
GO_INSERT = "{{ .Prompt }}{{ .Suffix }}"
TOOLS, ROUND_TRIP = "{{ tools }}", "{{ tools }} tool_calls tool_response"
SPLIT = "content.split('</think>')"


@pytest.mark.parametrize(
    ("text", "capabilities", "round_trip"),
    [
        ("{{ messages }}", [], False),
        (TOOLS, ["tools"], False),
        ("tool_call", ["tools"], False),
        (ROUND_TRIP, ["tools"], True),
        ("tools tool_calls message.role == 'tool'", ["tools"], True),
        ('tools tool_calls role\'] == "tool"', ["tools"], True),
        ("assistant_tool_call ipython", ["tools"], True),
        ("tools tool_response", ["tools"], False),
        ("<think> </think>", ["thinking"], False),
        ("<think>", [], False),
        (SPLIT, ["thinking"], False),
        ('content.split("</think>")', ["thinking"], False),
        (SPLIT + " reasoning_content", [], False),
        (SPLIT + " <SPECIAL_12>", [], False),
    ],
)
def test_a_jinja_template_is_judged_by_its_words(text: str, capabilities: list[str], round_trip: bool) -> None:
    template = ChatTemplate(text)
    assert (sorted(template.capabilities), template.has_tool_round_trip) == (capabilities, round_trip)


@pytest.mark.parametrize(
    ("text", "capabilities", "round_trip"),
    [
        ("{{ .Prompt }}", [], False),
        (GO_TOOLS, ["tools"], False),
        (GO_ROUND_TRIP, ["tools"], True),
        (GO_INSERT, ["insert"], False),
        (GO_THINKING, ["thinking"], False),
    ],
)
def test_a_go_template_is_judged_by_its_variables(text: str, capabilities: list[str], round_trip: bool) -> None:
    template = GoTemplate.parse(text)
    assert (sorted(template.capabilities), template.has_tool_round_trip) == (capabilities, round_trip)


def test_a_go_template_that_is_none_is_refused() -> None:
    with pytest.raises(TemplateError, match="unclosed action"):
        GoTemplate.parse("{{ .Prompt")


@pytest.mark.parametrize(
    ("config", "go", "chat", "setting", "source"),
    [
        ({}, None, None, None, PromptSource.CHAT_TEMPLATE),
        ({}, None, TOOLS, True, PromptSource.CHAT_TEMPLATE),
        ({}, "{{ .Prompt }}", None, None, PromptSource.GO_TEMPLATE),
        ({}, "{{ .Prompt }}", None, False, PromptSource.CHAT_TEMPLATE),
        ({}, "{{ .Prompt }}", "{{ messages }}", None, PromptSource.GO_TEMPLATE),
        ({}, "{{ .Prompt }}", TOOLS, None, PromptSource.CHAT_TEMPLATE),
        ({}, "{{ .Prompt }}", TOOLS, True, PromptSource.GO_TEMPLATE),
        # more capabilities, but only the Go template shows a tool's result
        ({}, GO_ROUND_TRIP, "{{ tools }} <think></think>", None, PromptSource.GO_TEMPLATE),
        ({}, GO_THINKING, "{{ tools }}" + SPLIT, None, PromptSource.CHAT_TEMPLATE),
        # equal capabilities: the round trip decides
        ({}, GO_TOOLS, ROUND_TRIP, None, PromptSource.CHAT_TEMPLATE),
        ({}, GO_TOOLS, TOOLS, None, PromptSource.GO_TEMPLATE),
        ({}, GO_ROUND_TRIP, ROUND_TRIP, None, PromptSource.GO_TEMPLATE),
        # as many, but others
        ({}, GO_THINKING, TOOLS, None, PromptSource.GO_TEMPLATE),
        ({"renderer": "qwen3-coder"}, "{{ .Prompt }}", TOOLS, False, PromptSource.RENDERER),
        ({"parser": "qwen3"}, None, TOOLS, False, PromptSource.GO_TEMPLATE),
        ({"model_format": "safetensors"}, None, TOOLS, False, PromptSource.GO_TEMPLATE),
        ({"model_family": "gptoss"}, "<|start|><|end|>{{ .Prompt }}", TOOLS, False, PromptSource.HARMONY),
        ({"model_family": "gpt-oss"}, "<|start|>{{ .Prompt }}", TOOLS, False, PromptSource.CHAT_TEMPLATE),
        ({"model_family": "llama"}, "<|start|><|end|>{{ .Prompt }}", TOOLS, False, PromptSource.CHAT_TEMPLATE),
    ],
)
def test_who_writes_the_prompt(
    config: dict[str, Any], go: str | None, chat: str | None, setting: bool | None, source: PromptSource
) -> None:
    templates = GoTemplate.parse(go) if go else None, ChatTemplate(chat) if chat else None
    assert choose_prompt_source(ModelConfig(**config), *templates, go_templates=setting) is source


EYE, EAR = ProjectorFacts(), ProjectorFacts(has_audio_encoder=True)


@pytest.mark.parametrize(
    ("config", "facts", "projectors", "go", "chat", "capabilities"),
    [
        ({}, GGUFFacts(), (), None, None, "completion"),
        ({}, GGUFFacts(pooling_type=0), (), None, None, "embedding"),
        ({}, None, (), None, None, ""),
        ({}, GGUFFacts(has_audio=True, has_vision=True), (), None, None, "completion vision audio"),
        ({}, GGUFFacts(), (EYE,), None, "tools <think></think>", "tools thinking completion vision"),
        ({}, GGUFFacts(), (EYE, EAR), None, None, "completion vision audio"),
        ({}, GGUFFacts(), (ProjectorFacts(True, "gemma3nv"),), None, None, "completion vision"),
        ({}, GGUFFacts(), (), GO_TOOLS + GO_INSERT, None, "completion tools insert"),
        # the Go template is there, but another one writes the prompts
        ({}, GGUFFacts(), (), GO_INSERT, "tools <think></think>", "tools thinking completion"),
        ({"capabilities": ("image", "tools")}, GGUFFacts(), (), GO_TOOLS, None, "image tools completion"),
        ({"parser": "qwen3"}, GGUFFacts(), (), None, "<think></think>", "completion tools"),
        ({"parser": "harmony"}, GGUFFacts(), (), None, None, "completion tools thinking"),
        ({"parser": "unheard-of"}, GGUFFacts(), (), None, None, "completion"),
        ({"model_family": "gptoss"}, GGUFFacts(), (), None, None, "completion thinking"),
        ({}, GGUFFacts("nemotron_h_omni"), (EAR,), None, None, "completion vision"),
        (
            {"model_format": "safetensors", "renderer": "gemma4", "capabilities": ("completion", "vision", "audio")},
            None, (), None, None, "completion",
        ),
        (
            {"model_format": "safetensors", "renderer": "glimmer", "capabilities": ("completion", "vision", "audio")},
            None, (), None, None, "completion vision",
        ),
        ({"renderer": "gemma4-small", "capabilities": ("vision",)}, None, (), None, None, "vision"),
    ],
)  # fmt: skip
def test_what_show_reports(
    config: dict[str, Any],
    facts: GGUFFacts | None,
    projectors: tuple[ProjectorFacts, ...],
    go: str | None,
    chat: str | None,
    capabilities: str,
) -> None:
    described = ModelConfig(**config)
    templates = GoTemplate.parse(go) if go else None, ChatTemplate(chat) if chat else None
    source = choose_prompt_source(described, *templates, go_templates=None)
    assert " ".join(show_capabilities(described, facts, projectors, source, *templates)) == capabilities


@pytest.mark.parametrize(
    ("config", "weights", "go", "has_projector", "capabilities"),
    [
        ({}, Glance(True), None, False, "completion"),
        ({}, Glance(True, is_embedding=True), None, False, "embedding"),
        ({}, Glance(), None, False, ""),
        ({}, Glance(True, media=("audio", "vision")), None, True, "audio vision completion"),
        ({"capabilities": ("tools",)}, Glance(True), GO_THINKING, True, "completion tools thinking vision"),
        ({}, Glance(True), GO_TOOLS + GO_INSERT, False, "completion tools insert"),
        ({"parser": "cogito"}, Glance(True), GO_INSERT, False, "completion tools insert thinking"),
        ({"model_family": "gpt-oss"}, Glance(True), None, False, "completion thinking"),
    ],
)
def test_what_the_list_reports(
    config: dict[str, Any], weights: Glance, go: str | None, has_projector: bool, capabilities: str
) -> None:
    template = GoTemplate.parse(go) if go else None
    found = list_capabilities(ModelConfig(**config), weights, template, has_projector=has_projector)
    assert " ".join(found) == capabilities
