"""llama.cpp's sampler chains: made here, applied by a backend."""

from __future__ import annotations

from typing import Any

from models.llama.binding import lib


def make_chain(*samplers: Any) -> Any:
    """A chain that owns these samplers."""
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    for sampler in samplers:
        lib.llama_sampler_chain_add(chain, sampler)
    return chain


def native_seed(seed: int | None) -> int:
    """llama.cpp takes the largest number for "a random one"; asked for as a seed, it is a random one there as well."""
    return int(lib.LLAMA_DEFAULT_SEED) if seed is None else seed & 0xFFFFFFFF
