"""Which class converts what: the names of `architectures` in `config.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from models.create.convert.architectures.base import Architecture
from models.create.convert.architectures.bert import Bert, NomicBert, NomicBertMoe, nomic_bert
from models.create.convert.architectures.deepseek import DeepSeek2, Glm4MoeLite
from models.create.convert.architectures.deepseek_ocr import DeepSeekOcr, DeepSeekOcrVision
from models.create.convert.architectures.gemma import EmbeddingGemma, Gemma, Gemma2, Gemma3, Gemma3n, Gemma4
from models.create.convert.architectures.gemma_towers import Gemma3nTowers, Gemma4Towers
from models.create.convert.architectures.glm import Glm4, GlmOcr
from models.create.convert.architectures.gpt_oss import GptOss
from models.create.convert.architectures.laguna import Laguna
from models.create.convert.architectures.lfm2 import Lfm2, Lfm2Moe, Lfm2Vision
from models.create.convert.architectures.llama import Llama
from models.create.convert.architectures.llama4 import Llama4
from models.create.convert.architectures.mistral3 import Mistral3
from models.create.convert.architectures.nemotron import NemotronH, NemotronHMoe, nemotron_h
from models.create.convert.architectures.nemotron_omni import nemotron_towers
from models.create.convert.architectures.phi import Phi3
from models.create.convert.architectures.projectors import (
    Gemma3Vision,
    Glm4Vision,
    Llama4Vision,
    PixtralVision,
    Projector,
    Qwen2Vision,
    Qwen3Vision,
)
from models.create.convert.architectures.qwen import Qwen2, Qwen2Moe, Qwen3, Qwen3Moe
from models.create.convert.architectures.qwen_next import Qwen3Next, Qwen35, Qwen35Moe
from models.create.convert.architectures.qwen_vl import Qwen2Vl, Qwen3Vl, Qwen3VlMoe
from models.create.convert.architectures.small import CommandR, Olmo2
from models.create.convert.checkpoint import Checkpoint
from models.errors import CreateFailed
from registry.gojson import quote

ARCHITECTURES: Final[dict[str, Callable[[Checkpoint], Architecture]]] = {
    "LlamaForCausalLM": Llama,
    "LlamaModel": Llama,
    "MistralForCausalLM": Llama,
    "MixtralForCausalLM": Llama,
    "GemmaForCausalLM": Gemma,
    "Gemma2ForCausalLM": Gemma2,
    "Gemma3ForCausalLM": Gemma3,
    "Gemma3ForConditionalGeneration": Gemma3,
    "Gemma3TextModel": EmbeddingGemma,
    "Gemma3nForCausalLM": Gemma3n,
    "Gemma3nForConditionalGeneration": Gemma3n,
    "Gemma4ForCausalLM": Gemma4,
    "Gemma4ForConditionalGeneration": Gemma4,
    "Phi3ForCausalLM": Phi3,
    "Qwen2ForCausalLM": Qwen2,
    "Qwen2Model": Qwen2,
    "Qwen2MoeForCausalLM": Qwen2Moe,
    "Qwen3ForCausalLM": Qwen3,
    "Qwen3Model": Qwen3,
    "Qwen3MoeForCausalLM": Qwen3Moe,
    "CohereForCausalLM": CommandR,
    "Olmo2ForCausalLM": Olmo2,
    "Olmo3ForCausalLM": Olmo2,
    "BertModel": Bert,
    "NomicBertModel": nomic_bert,
    "NomicBertMoEModel": nomic_bert,
    "GptOssForCausalLM": GptOss,
    "LagunaForCausalLM": Laguna,
    "NemotronHForCausalLM": nemotron_h,
    "NemotronH_Nano_VL_V2": nemotron_h,
    "NemotronH_Nano_Omni_Reasoning_V3": nemotron_h,
    "Glm4ForCausalLM": Glm4,
    "GlmOcrForConditionalGeneration": GlmOcr,
    "DeepseekV2ForCausalLM": DeepSeek2,
    "DeepseekV3ForCausalLM": DeepSeek2,
    "DeepseekOCRForCausalLM": DeepSeekOcr,
    "Glm4MoeLiteForCausalLM": Glm4MoeLite,
    "Lfm2ForCausalLM": Lfm2,
    "Lfm2MoeForCausalLM": Lfm2Moe,
    "Lfm2VlForConditionalGeneration": Lfm2,
    "Llama4ForCausalLM": Llama4,
    "Llama4ForConditionalGeneration": Llama4,
    "Mistral3ForConditionalGeneration": Mistral3,
    "Ministral3ForCausalLM": Mistral3,
    "Qwen2VLForConditionalGeneration": Qwen2Vl,
    "Qwen2_5_VLForConditionalGeneration": Qwen2Vl,
    "Qwen3VLForConditionalGeneration": Qwen3Vl,
    "Qwen3VLMoeForConditionalGeneration": Qwen3VlMoe,
    "Qwen3NextForCausalLM": Qwen3Next,
    "Qwen3_5ForCausalLM": Qwen35,
    "Qwen3_5ForConditionalGeneration": Qwen35,
    "Qwen3_5MoeForCausalLM": Qwen35Moe,
    "Qwen3_5MoeForConditionalGeneration": Qwen35Moe,
}
"""# Compat: registry-store-cli 6.6; Mistral, Qwen 3 and the like go beyond it."""


PROJECTORS: Final[dict[str, Callable[[Checkpoint], Projector]]] = {
    "DeepseekOCRForCausalLM": DeepSeekOcrVision,
    "Gemma3ForConditionalGeneration": Gemma3Vision,
    "Gemma3nForConditionalGeneration": Gemma3nTowers,
    "Gemma4ForConditionalGeneration": Gemma4Towers,
    "GlmOcrForConditionalGeneration": Glm4Vision,
    "Lfm2VlForConditionalGeneration": Lfm2Vision,
    "Llama4ForConditionalGeneration": Llama4Vision,
    "Mistral3ForConditionalGeneration": PixtralVision,
    "NemotronH_Nano_VL_V2": nemotron_towers,
    "NemotronH_Nano_Omni_Reasoning_V3": nemotron_towers,
    "Qwen2VLForConditionalGeneration": Qwen2Vision,
    "Qwen2_5_VLForConditionalGeneration": Qwen2Vision,
    "Qwen3VLForConditionalGeneration": Qwen3Vision,
    "Qwen3VLMoeForConditionalGeneration": Qwen3Vision,
    "Qwen3_5ForConditionalGeneration": Qwen3Vision,
    "Qwen3_5MoeForConditionalGeneration": Qwen3Vision,
}
"""Which class converts what sees or hears."""


NOT_AS_INNER: Final = frozenset({"DeepseekOCRForCausalLM"})
"""Models that differ from the one which their text part names; others are that model, with something around it."""


def find_projector(files: Checkpoint) -> Architecture | None:
    """What sees or hears, if the model does, and in a way that we know. Raises: CreateFailed."""
    kind = PROJECTORS.get(files.config.architecture)
    if kind is None or not files.config.has("vision_config"):
        return None
    projector = kind(files)
    return projector if projector.is_present else None


CLASSES: Final[Mapping[str, type[Architecture]]] = {
    kind.name: kind
    for kind in (*ARCHITECTURES.values(), NemotronH, NemotronHMoe, NomicBert, NomicBertMoe)
    if isinstance(kind, type) and issubclass(kind, Architecture)
}
"""By `general.architecture`; of several the last, which knows what the others do."""


def architecture_named(name: str) -> type[Architecture] | None:
    """The class whose files say that they are of this architecture."""
    return CLASSES.get(name)


def architecture_of(files: Checkpoint) -> Architecture:
    """Raises: CreateFailed.

    # Compat: registry-store-cli 6.6 for the error texts.
    """
    name = files.config.architecture
    inner = files.config.text_part.find_list("architectures") or []
    if inner and inner[0] in ARCHITECTURES and name not in NOT_AS_INNER:
        name = inner[0]
    if name not in ARCHITECTURES:
        raise CreateFailed(f"unsupported architecture {quote(name)}")
    return ARCHITECTURES[name](files)
