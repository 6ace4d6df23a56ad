"""llama.cpp's own sampler chain, as one call for one token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import UnusableOutput
from models.llama.binding import lib
from models.runner.settings import Sampling
from models.sampling import penalties

if TYPE_CHECKING:
    from models.llama.context import Context, Logits

_MOST_CANDIDATES = 128
"""llama.cpp finds up to so many without sorting the vocabulary."""


class NativeChain:
    """Samples the last row of logits of a context: the only one, where only one sequence runs.

    It makes the same choices as `models.sampling.sampler`. That one is faster for several sequences in a row, and with
    penalties or without top_k; this one for a single token, between two decodes that empty the processor's caches.
    """

    matcher = None

    def __init__(self, context: Context, options: Sampling) -> None:
        self._context = context
        self._chain = make_chain(
            lib.llama_sampler_init_top_k(options.top_k),
            lib.llama_sampler_init_typical(options.typical_p, 0),
            lib.llama_sampler_init_top_p(options.top_p, 0),
            lib.llama_sampler_init_min_p(options.min_p, 0),
            lib.llama_sampler_init_temp_ext(options.temperature, 0.0, 1.0),
            lib.llama_sampler_init_dist(native_seed(options.seed)),
        )

    @staticmethod
    def suits(options: Sampling) -> bool:
        """Whether these options are what it is fast for."""
        if penalties.is_active(options):
            return False
        return options.temperature > 0 and 0 < options.top_k <= _MOST_CANDIDATES

    def sample(self, logits: Logits) -> int:
        """The next token. Raises: UnusableOutput."""
        token = int(lib.llama_sampler_sample(self._chain, self._context.handle, -1))
        if not np.isfinite(logits[token]):
            raise UnusableOutput("the model's output is not a number")
        return token

    def forced(self) -> Sequence[int]:
        """Nothing: here no one but the model has a say."""
        return ()

    def force(self, token: int) -> None:
        """Accept a token that nobody chose."""
        lib.llama_sampler_accept(self._chain, token)

    def __del__(self) -> None:
        lib.llama_sampler_free(self._chain)


def make_chain(*samplers: Any) -> Any:
    """A chain that owns these samplers."""
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    for sampler in samplers:
        lib.llama_sampler_chain_add(chain, sampler)
    return chain


def native_seed(seed: int | None) -> int:
    """llama.cpp takes the largest number for "a random one"; asked for as a seed, it is a random one there as well."""
    return int(lib.LLAMA_DEFAULT_SEED) if seed is None else seed & 0xFFFFFFFF
