"""The names Ollama gives to file types, tensor types and parameter counts."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

UNKNOWN: Final = "unknown"

FILE_TYPES: Final = MappingProxyType(
    {
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
        11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
        19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S",
        27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
        38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0",
    }
)  # fmt: skip
"""`general.file_type` → quantization level (registry-store-cli 10.3)."""

TENSOR_TYPES: Final = MappingProxyType(
    {
        0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
        16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
        20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
        24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
        29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
        39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
    }
)  # fmt: skip
"""ggml type number → name, elements of a block, bytes of a block (ggml.h, ggml_type; ggml-common.h)."""


def file_type_name(number: int) -> str:
    """`Q4_K_M` for 15; `unknown` for a number without a name."""
    return FILE_TYPES.get(number, UNKNOWN)


def quantization_level(number: int | None) -> str:
    """The level that create and show give for `general.file_type`.

    Compat: registry-store-cli 10.3, zero counts as unset there, so that F32 reads as `unknown`.
    """
    return file_type_name(number) if number else UNKNOWN


def tensor_type_name(number: int) -> str:
    """`Q6_K` for 14; `unknown` for a number without a name."""
    return TENSOR_TYPES[number][0] if number in TENSOR_TYPES else UNKNOWN


def block_shape(number: int) -> tuple[int, int]:
    """Elements and bytes of one block of a tensor type; (1, 0) if it is not known."""
    return TENSOR_TYPES[number][1:] if number in TENSOR_TYPES else (1, 0)


def human_number(n: int) -> str:
    """A count of parameters as Ollama shows it: `2.9B`, `134.52M`, `1K`, `999` (registry-store-cli 10.4)."""
    if n >= 1_000_000_000:
        return f"{n / 1e9:.{0 if n % 1_000_000_000 == 0 else 1}f}B"
    if n >= 1_000_000:
        return f"{n / 1e6:.{0 if n % 1_000_000 == 0 else 2}f}M"
    if n >= 1_000:
        return f"{n / 1e3:.0f}K"
    return str(n)
