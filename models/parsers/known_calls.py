# ruff: noqa: RUF001
# DeepSeek's tokens are written with a fullwidth bar.
"""How the families of models that call tools write their calls, and which built-in parser reads which."""

from __future__ import annotations

from models.parsers.syntax import (
    PYTHON_TAG,
    AddressedCalls,
    AtemCalls,
    Body,
    BodyCalls,
    CallForm,
    HarmonyCalls,
    JsonCalls,
    NamedCalls,
)

DEEPSEEK_BEGIN, _DEEPSEEK_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL_BEGIN, _CALL_END, _SEPARATOR = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
_MISSPELT = ("<｜tool_calls_begin｜>", "<｜tool calls begin｜>", "<｜tool▁calls｜>")
"""What models distilled from R1 write in the place of the first token."""

DEEPSEEK_R1 = NamedCalls(
    f"{_CALL_BEGIN}function{_SEPARATOR}",
    "\n```json\n",
    f"```{_CALL_END}",
    DEEPSEEK_BEGIN,
    _DEEPSEEK_END,
    also=_MISSPELT,
)
DEEPSEEK_V31 = NamedCalls(_CALL_BEGIN, _SEPARATOR, _CALL_END, DEEPSEEK_BEGIN, _DEEPSEEK_END, also=_MISSPELT)
MISTRAL = NamedCalls("[TOOL_CALLS]", "[ARGS]", id_tag="[CALL_ID]")
MISTRAL_JSON = JsonCalls("[TOOL_CALLS]", "", in_array=True, id_key="id")
FUNCTIONARY = NamedCalls("<function=", ">", "</function>", also=(PYTHON_TAG,))
COMMAND = JsonCalls(
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    in_array=True,
    name_key="tool_name",
    arguments_key="parameters",
    id_key="tool_call_id",
)
COMMAND_R = JsonCalls("Action: ```json\n", "```", in_array=True, name_key="tool_name", arguments_key="parameters")
LFM2 = BodyCalls("<|tool_call_start|>", "<|tool_call_end|>", Body.PYTHON)
PHI_4 = JsonCalls("<|tool_call|>", "<|/tool_call|>", in_array=True, also=("functools",))
GRANITE = JsonCalls("<|tool_call|>", "", in_array=True, also=("<tool_call>",))
NEMOTRON = JsonCalls("<TOOLCALL>", "</TOOLCALL>", in_array=True)
HERMES = JsonCalls("<tool_call>", "</tool_call>", repeats=True)
LLAMA = JsonCalls("", "", arguments_key="parameters", also=(PYTHON_TAG,))
HARMONY = HarmonyCalls()
FUNCTIONARY_V3 = AddressedCalls()
QWEN_CODER = BodyCalls("<tool_call>", "</tool_call>", Body.QWEN_XML)
GLM = BodyCalls("<tool_call>", "</tool_call>", Body.GLM_XML)

OLMO_3 = BodyCalls("<function_calls>", "</function_calls>", Body.PYTHON_LINES)
GEMMA_4 = BodyCalls("<|tool_call>", "<tool_call|>", Body.GEMMA)
FUNCTIONGEMMA = BodyCalls("<start_function_call>", "<end_function_call>", Body.FUNCTION_GEMMA)

BUILT_IN: dict[str, CallForm] = {
    "cogito": DEEPSEEK_R1,
    "cohere": COMMAND,
    "deepseek3": DEEPSEEK_V31,
    "functiongemma": FUNCTIONGEMMA,
    "gemma4": GEMMA_4,
    "gemma4-no-thinking": GEMMA_4,
    "glimmer": AtemCalls(),
    "harmony": HARMONY,
    "lfm2": LFM2,
    "lfm2-thinking": LFM2,
    "ministral": MISTRAL,
    "olmo3": OLMO_3,
    **dict.fromkeys(("glm-4.7", "glm-ocr", "laguna", "poolside-v1"), GLM),
    **dict.fromkeys(("nemotron-3-nano", "nemotron-3.5-nano", "ornith", "qwen3-coder", "qwen3.5"), QWEN_CODER),
    **dict.fromkeys(("qwen3", "qwen3-thinking", "qwen3-vl-instruct", "qwen3-vl-thinking"), HERMES),
}
"""By the name of the parser."""
