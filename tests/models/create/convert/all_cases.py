"""Every tiny model, by its name."""

from __future__ import annotations

from tests.models.create.convert import (
    bert_cases,
    deepseek_cases,
    gemma_cases,
    gemma_tower_cases,
    glm_cases,
    lfm2_cases,
    llama_cases,
    nemotron_cases,
    other_cases,
    qwen_cases,
    qwen_vl_cases,
)

FAMILIES = (
    llama_cases, gemma_cases, gemma_tower_cases, qwen_cases, qwen_vl_cases, deepseek_cases, glm_cases, lfm2_cases,
    nemotron_cases, bert_cases, other_cases,
)  # fmt: skip
CASES = {case.name: case for family in FAMILIES for case in family.CASES}
