"""Families of chat templates that are known by words in their text.

Rendering shows how most templates write calls as JSON (`probe.py`). Here are the forms that it cannot show: other ways
to write calls, and those of models whose template tells of tools but not of calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.parsers.known_calls import (
    COMMAND,
    COMMAND_R,
    DEEPSEEK_BEGIN,
    DEEPSEEK_R1,
    DEEPSEEK_V31,
    FUNCTIONARY,
    FUNCTIONARY_V3,
    FUNCTIONGEMMA,
    GEMMA_4,
    GLM,
    GRANITE,
    HARMONY,
    HERMES,
    LFM2,
    LLAMA,
    MISTRAL,
    MISTRAL_JSON,
    NEMOTRON,
    OLMO_3,
    PHI_4,
    QWEN_CODER,
)
from models.parsers.syntax import PYTHON_TAG, CallSyntax, ReasoningTags


@dataclass(frozen=True, slots=True)
class _Family:
    """`marks`: words that a template of this family has, all of them."""

    marks: tuple[str, ...]
    calls: CallSyntax


_FAMILIES = (
    _Family(("<|start|>", "<|channel|>", "<|message|>"), HARMONY),
    _Family((">>>all",), FUNCTIONARY_V3),
    _Family(("<function=", "<parameter="), QWEN_CODER),
    _Family(("<arg_key>", "<arg_value>"), GLM),
    _Family(("<function=", "</function>"), FUNCTIONARY),
    _Family((DEEPSEEK_BEGIN, "```json"), DEEPSEEK_R1),
    _Family((DEEPSEEK_BEGIN,), DEEPSEEK_V31),
    _Family(("[TOOL_CALLS]", "[ARGS]"), MISTRAL),
    _Family(("[TOOL_CALLS]",), MISTRAL_JSON),
    _Family(("<|START_ACTION|>",), COMMAND),
    _Family(("Action:", "```json", "tool_name"), COMMAND_R),
    _Family(("<|tool_call>", "<tool_call|>"), GEMMA_4),
    _Family(("<start_function_call>",), FUNCTIONGEMMA),
    _Family(("<function_calls>", "<functions>"), OLMO_3),
    _Family(("<|tool_call_start|>",), LFM2),
    _Family(("<|tool_list_start|>",), LFM2),
    _Family(("<|tool|>", "<|/tool|>"), PHI_4),
    _Family(("functools",), PHI_4),
    _Family(("<|tool_call|>",), GRANITE),
    _Family(("<TOOLCALL>",), NEMOTRON),
    _Family(("<tool_call>",), HERMES),
    _Family((PYTHON_TAG,), LLAMA),
    _Family(("<|start_header_id|>", "ipython"), LLAMA),
)
"""The first that fits counts, so the more special ones come first."""

_REASONING = (
    (("<|START_THINKING|>", "<|END_THINKING|>"), ReasoningTags("<|START_THINKING|>", "<|END_THINKING|>")),
    (
        ("Here is my thought process:", "Here is my response:"),
        ReasoningTags("Here is my thought process:", "Here is my response:"),
    ),
    (("<|channel>thought", "<channel|>"), ReasoningTags("<|channel>thought\n", "<channel|>")),
    (("[THINK]", "[/THINK]"), ReasoningTags("[THINK]", "[/THINK]")),
    (("<seed:think>",), ReasoningTags("<seed:think>", "</seed:think>")),
    (("◁think▷",), ReasoningTags("◁think▷", "◁/think▷")),
)

_WRAPPERS = (
    (("<|START_RESPONSE|>",), ("<|START_RESPONSE|>", "<|END_RESPONSE|>")),
    (("<|START_TEXT|>",), ("<|START_TEXT|>", "<|END_TEXT|>")),
    (("<think>", "<response>", "</response>"), ("<response>", "</response>")),
)


def known_calls(source: str) -> CallSyntax | None:
    """How models with this template write calls."""
    return next((family.calls for family in _FAMILIES if _has(source, family.marks)), None)


def known_reasoning(source: str) -> ReasoningTags | None:
    """The tags of thoughts that the template names."""
    return next((tags for marks, tags in _REASONING if _has(source, marks)), None)


def known_wrappers(source: str) -> tuple[str, ...]:
    """Tags that stand around answers."""
    return tuple(tag for marks, tags in _WRAPPERS if _has(source, marks) for tag in tags)


def _has(source: str, marks: tuple[str, ...]) -> bool:
    return all(mark in source for mark in marks)
