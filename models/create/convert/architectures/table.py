"""Which class converts what: the names of `architectures` in `config.json`."""

from __future__ import annotations

from typing import Final

from models.create.convert.architectures.base import Architecture
from models.create.convert.architectures.bert import Bert
from models.create.convert.architectures.gemma import Gemma, Gemma2, Gemma3
from models.create.convert.architectures.llama import Llama
from models.create.convert.architectures.phi import Phi3
from models.create.convert.architectures.qwen import Qwen2, Qwen2Moe, Qwen3, Qwen3Moe
from models.create.convert.architectures.small import CommandR, Olmo2
from models.create.convert.checkpoint import Checkpoint
from models.errors import CreateFailed
from registry.gojson import quote

ARCHITECTURES: Final[dict[str, type[Architecture]]] = {
    "LlamaForCausalLM": Llama,
    "LlamaModel": Llama,
    "MistralForCausalLM": Llama,
    "MixtralForCausalLM": Llama,
    "GemmaForCausalLM": Gemma,
    "Gemma2ForCausalLM": Gemma2,
    "Gemma3ForCausalLM": Gemma3,
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
}
"""# Compat: registry-store-cli 6.6; Mistral, Qwen 3 and the like go beyond it."""


PROJECTORS: Final[dict[str, type[Architecture]]] = {}
"""Which class converts what sees or hears."""


def find_projector(files: Checkpoint) -> Architecture | None:
    """What sees or hears, if the model has it and its projector is one of ours. Raises: CreateFailed."""
    projector = PROJECTORS.get(files.config.architecture)
    return projector(files) if projector is not None else None


def architecture_of(files: Checkpoint) -> Architecture:
    """Raises: CreateFailed.

    # Compat: registry-store-cli 6.6 for the error texts.
    """
    name = files.config.architecture
    if name not in ARCHITECTURES:
        raise CreateFailed(f"unsupported architecture {quote(name)}")
    return ARCHITECTURES[name](files)
