"""Types that weights can be quantized to: how clients spell them, when it is allowed, what stays more precise."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from models.errors import CreateFailed, UnsupportedQuantization
from models.gguf.names import FILE_TYPES, TENSOR_TYPES, quantization_level
from models.gguf.values import GGUF

UNQUANTIZED: Final = ("F16", "BF16", "F32")

# Compat: registry-store-cli 6.4: F32, F16, BF16, Q8_0, Q4_K_S, Q4_K_M and the alias Q4_K are what Ollama knows. The
# others are llama.cpp's (tools/quantize); NVFP4 is one that it reads but does not make.
_ALIASES: Final = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
TYPES: Final = MappingProxyType({name: number for number, name in FILE_TYPES.items() if name != "NVFP4"})
"""Name → `general.file_type`, llama.h's llama_ftype."""

_TENSOR_TYPE: Final = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}
_PRECISE: Final = MappingProxyType(
    {
        "qwen35": ((r"^blk\.[0-9]+\.nextn\.eh_proj\.weight$", "Q8_0"),),
        "qwen35moe": ((r"^blk\.[0-9]+\.nextn\.eh_proj\.weight$", "Q8_0"),),
        "gemma3n": ((r"^per_layer_token_embd\.weight$", "F16"),),
        "deepseek2": tuple(
            (rf"{name}\.weight$", "Q8_0") for name in ("attn_k_b", "attn_q_a", "attn_q_b", "attn_v_b", "attn_kv_a_mqa")
        ),
        "glmocr": ((r"^token_embd\.weight$", "F16"), (r"^output\.weight$", "F16")),
        "glm4": ((r"^token_embd\.weight$", "F16"), (r"^output\.weight$", "F16")),
    }
)
"""Compat: registry-store-cli 6.4: architecture → tensors (patterns) that Q4_K_S and Q4_K_M leave at a higher type."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """From what level to what, by their names; `precise`: patterns of tensors' names with their own ggml types."""

    source: str
    target: str
    precise: tuple[tuple[str, int], ...] = ()

    @property
    def file_type(self) -> int:
        """Number of the target in llama.h's llama_ftype."""
        return TYPES[self.target]


def quantization_target(wanted: str) -> str:
    """The type that a client's spelling means. Raises: UnsupportedQuantization."""
    name = wanted.upper()
    name = _ALIASES.get(name, name)
    if name not in TYPES:
        raise UnsupportedQuantization(wanted.upper())
    return name


def plan_quantization(gguf: GGUF, wanted: str) -> Quantization | None:
    """What must be done with weights to have them in the type that is asked for; None: nothing.

    Raises: UnsupportedQuantization, CreateFailed.
    # Compat: registry-store-cli 6.4: a file of type 0 reads as unknown and is refused.
    """
    if not wanted:
        return None
    target, actual = quantization_target(wanted), quantization_level(gguf.uint32("general.file_type"))
    if actual not in UNQUANTIZED:
        raise CreateFailed("quantization is only supported for F16, BF16 and F32 models")
    if actual == target:
        return None
    pins = _PRECISE.get(gguf.architecture, ()) if target in ("Q4_K_S", "Q4_K_M") else ()
    return Quantization(actual, target, tuple((pattern, _TENSOR_TYPE[kind]) for pattern, kind in pins))


def plan_draft_quantization(gguf: GGUF, wanted: str) -> Quantization | None:
    """As `plan_quantization`, for a draft."""
    actual = quantization_level(gguf.uint32("general.file_type"))
    if wanted and quantization_target(wanted) and actual not in UNQUANTIZED:
        raise CreateFailed(f"draft quantization requires an unquantized draft model, got {actual}")
    return plan_quantization(gguf, wanted)
