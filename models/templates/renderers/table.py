"""The built-in renderers by the name that a model's config gives (prompting.md 6.0)."""

from __future__ import annotations

from collections.abc import Sequence

from models.templates.errors import TemplateError
from models.templates.renderers import (
    cogito,
    cohere,
    deepseek,
    functiongemma,
    gemma4,
    glimmer,
    glm,
    lfm2,
    nemotron,
    olmo3,
    poolside,
    qwen3_5,
    qwen3_coder,
    qwen3_vl,
)
from models.templates.renderers.conversation import Renderer

RENDERERS: dict[str, Renderer] = {
    "cogito": Renderer(cogito.render_cogito, cogito.BOS),
    "cohere": Renderer(cohere.render_cohere, cohere.BOS),
    "deepseek3.1": Renderer(deepseek.render_deepseek, deepseek.BOS),
    "functiongemma": Renderer(functiongemma.render_functiongemma, functiongemma.BOS),
    "gemma4": Renderer(gemma4.render_gemma4_small, gemma4.BOS),
    "gemma4-large": Renderer(gemma4.render_gemma4_large, gemma4.BOS),
    "gemma4-small": Renderer(gemma4.render_gemma4_small, gemma4.BOS),
    "glimmer": Renderer(glimmer.render_glimmer, glimmer.BOS),
    "glm-4.7": Renderer(glm.render_glm_4_7),
    "glm-ocr": Renderer(glm.render_glm_ocr),
    "laguna": Renderer(poolside.render_laguna, poolside.BOS),
    "lfm2": Renderer(lfm2.render_lfm2, lfm2.BOS),
    "lfm2-thinking": Renderer(lfm2.render_lfm2_thinking, lfm2.BOS),
    "nemotron-3-nano": Renderer(nemotron.render_nemotron_3),
    "nemotron-3.5-nano": Renderer(nemotron.render_nemotron_3_5),
    "olmo3": Renderer(olmo3.render_olmo3),
    "olmo3-32b-think": Renderer(olmo3.render_olmo3_32b_think),
    "olmo3-think": Renderer(olmo3.render_olmo3_think),
    "olmo3.1": Renderer(olmo3.render_olmo31),
    "ornith": Renderer(qwen3_5.render_ornith),
    "poolside-v1": Renderer(poolside.render_poolside_v1, poolside.BOS),
    "qwen3-coder": Renderer(qwen3_coder.render_qwen3_coder),
    "qwen3-vl-instruct": Renderer(qwen3_vl.render_qwen3_vl_instruct),
    "qwen3-vl-thinking": Renderer(qwen3_vl.render_qwen3_vl_thinking),
    "qwen3.5": Renderer(qwen3_5.render_qwen3_5),
    "qwen3.8": Renderer(qwen3_5.render_qwen3_8),
}


def choose_renderer(configured: str, model_names: Sequence[str], model_type: str) -> str:
    """The name of the renderer for a model, which for some families depends on the model.

    `model_names`: the short one, then the full one. `model_type`: the size in words, `7B`.
    # Compat: prompting 6.10.
    """
    return gemma4.choose_gemma4(model_names, model_type) if configured == "gemma4" else configured


def find_renderer(name: str) -> Renderer:
    """The renderer of this name. Raises: TemplateError, in Ollama's words, for an unknown one."""
    renderer = RENDERERS.get(name)
    if renderer is None:
        raise TemplateError(f'unknown renderer "{name}"')
    return renderer
