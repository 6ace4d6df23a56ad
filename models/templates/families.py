# ruff: noqa: RUF001
# DeepSeek's tokens are written with a fullwidth bar.
"""Families of chat templates that are known by words in their text.

Rendering shows how most templates write calls as JSON (`probe.py`). Here are the forms that it cannot show: other ways
to write calls, and those of models whose template tells of tools but not of calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.parsers.syntax import (
    PYTHON_TAG,
    AddressedCalls,
    Body,
    BodyCalls,
    CallSyntax,
    HarmonyCalls,
    JsonCalls,
    NamedCalls,
    ReasoningTags,
)

_CALLS_BEGIN, _CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL_BEGIN, _CALL_END, _SEPARATOR = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
_MISSPELT = ("<｜tool_calls_begin｜>", "<｜tool calls begin｜>", "<｜tool▁calls｜>")
"""What models distilled from R1 write in the place of the first token."""

_DEEPSEEK_R1 = NamedCalls(
    f"{_CALL_BEGIN}function{_SEPARATOR}", "\n```json\n", f"```{_CALL_END}", _CALLS_BEGIN, _CALLS_END, also=_MISSPELT
)
_DEEPSEEK_V31 = NamedCalls(_CALL_BEGIN, _SEPARATOR, _CALL_END, _CALLS_BEGIN, _CALLS_END, also=_MISSPELT)
_MISTRAL = NamedCalls("[TOOL_CALLS]", "[ARGS]", id_tag="[CALL_ID]")
_MISTRAL_JSON = JsonCalls("[TOOL_CALLS]", "", in_array=True, id_key="id")
_FUNCTIONARY = NamedCalls("<function=", ">", "</function>", also=(PYTHON_TAG,))
_COMMAND = JsonCalls(
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    in_array=True,
    name_key="tool_name",
    arguments_key="parameters",
    id_key="tool_call_id",
)
_COMMAND_R = JsonCalls("Action: ```json\n", "```", in_array=True, name_key="tool_name", arguments_key="parameters")
_LFM2 = BodyCalls("<|tool_call_start|>", "<|tool_call_end|>", Body.PYTHON)
_PHI_4 = JsonCalls("<|tool_call|>", "<|/tool_call|>", in_array=True, also=("functools",))
_GRANITE = JsonCalls("<|tool_call|>", "", in_array=True, also=("<tool_call>",))
_NEMOTRON = JsonCalls("<TOOLCALL>", "</TOOLCALL>", in_array=True)
_HERMES = JsonCalls("<tool_call>", "</tool_call>", repeats=True)
_LLAMA = JsonCalls("", "", arguments_key="parameters", also=(PYTHON_TAG,))


@dataclass(frozen=True, slots=True)
class _Family:
    """`marks`: words that a template of this family has, all of them."""

    marks: tuple[str, ...]
    calls: CallSyntax


_FAMILIES = (
    _Family(("<|start|>", "<|channel|>", "<|message|>"), HarmonyCalls()),
    _Family((">>>all",), AddressedCalls()),
    _Family(("<function=", "<parameter="), BodyCalls("<tool_call>", "</tool_call>", Body.QWEN_XML)),
    _Family(("<arg_key>", "<arg_value>"), BodyCalls("<tool_call>", "</tool_call>", Body.GLM_XML)),
    _Family(("<function=", "</function>"), _FUNCTIONARY),
    _Family((_CALLS_BEGIN, "```json"), _DEEPSEEK_R1),
    _Family((_CALLS_BEGIN,), _DEEPSEEK_V31),
    _Family(("[TOOL_CALLS]", "[ARGS]"), _MISTRAL),
    _Family(("[TOOL_CALLS]",), _MISTRAL_JSON),
    _Family(("<|START_ACTION|>",), _COMMAND),
    _Family(("Action:", "```json", "tool_name"), _COMMAND_R),
    _Family(("<|tool_call_start|>",), _LFM2),
    _Family(("<|tool_list_start|>",), _LFM2),
    _Family(("<|tool|>", "<|/tool|>"), _PHI_4),
    _Family(("functools",), _PHI_4),
    _Family(("<|tool_call|>",), _GRANITE),
    _Family(("<TOOLCALL>",), _NEMOTRON),
    _Family(("<tool_call>",), _HERMES),
    _Family((PYTHON_TAG,), _LLAMA),
    _Family(("<|start_header_id|>", "ipython"), _LLAMA),
)
"""The first that fits counts, so the more special ones come first."""

_REASONING = (
    (("<|START_THINKING|>", "<|END_THINKING|>"), ReasoningTags("<|START_THINKING|>", "<|END_THINKING|>")),
    (
        ("Here is my thought process:", "Here is my response:"),
        ReasoningTags("Here is my thought process:", "Here is my response:"),
    ),
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
