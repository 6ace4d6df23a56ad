"""The built-in parsers by the name that a model's config gives (prompting.md 6.0)."""

from __future__ import annotations

from models.parsers import (
    cohere,
    deepseek,
    functiongemma,
    gemma4,
    glimmer,
    glm,
    harmony,
    laguna,
    lfm2,
    ministral,
    olmo3,
    qwen3,
    qwen3_coder,
)
from models.parsers.steps import Expectations, ParserKind, Step


class _Passthrough:
    """Everything is content."""

    def add(self, text: str, done: bool) -> Step:
        return Step(text)


def _passthrough(expectations: Expectations) -> _Passthrough:
    return _Passthrough()


PARSERS: dict[str, ParserKind] = {
    "cogito": deepseek.COGITO,
    "cohere": cohere.COHERE,
    "deepseek3": deepseek.DEEPSEEK,
    "functiongemma": functiongemma.FUNCTIONGEMMA,
    "gemma4": gemma4.GEMMA4,
    "gemma4-no-thinking": gemma4.GEMMA4_NO_THINKING,
    "glimmer": glimmer.GLIMMER,
    "glm-4.7": glm.GLM_4_7,
    "glm-ocr": glm.GLM_OCR,
    "harmony": harmony.HARMONY,
    "laguna": laguna.LAGUNA,
    "lfm2": lfm2.LFM2,
    "lfm2-thinking": lfm2.LFM2_THINKING,
    "ministral": ministral.MINISTRAL,
    "nemotron-3-nano": qwen3_coder.NEMOTRON,
    "nemotron-3.5-nano": qwen3_coder.NEMOTRON,
    "olmo3": olmo3.OLMO3,
    "olmo3-think": olmo3.OLMO3_THINK,
    "ornith": qwen3_coder.QWEN3_5,
    "passthrough": ParserKind(_passthrough, has_tools=False, has_thinking=False),
    "poolside-v1": laguna.POOLSIDE_V1,
    "qwen3": qwen3.QWEN3,
    "qwen3-coder": qwen3_coder.QWEN3_CODER,
    "qwen3-thinking": qwen3.QWEN3_THINKING,
    "qwen3-vl-instruct": qwen3.QWEN3_VL_INSTRUCT,
    "qwen3-vl-thinking": qwen3.QWEN3_VL_THINKING,
    "qwen3.5": qwen3_coder.QWEN3_5,
}


def find_parser(name: str) -> ParserKind | None:
    """The parser of this name; None for an unknown one, whose model is served as if it had none."""
    return PARSERS.get(name)
