"""llama.cpp's own sampler chain, in its server's order, as what our sampler is compared with."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from models.llama.binding import lib
from models.llama.chain import make_chain
from models.option_types import ADAPTIVE_P, SAMPLERS
from models.runner.settings import Sampling

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_TOKEN = np.dtype([("id", "i4"), ("logit", "f4"), ("p", "f4")])


class LlamaChain:
    """The chain that llama.cpp's server makes for these options, but for DRY, which needs a vocabulary."""

    def __init__(self, options: Sampling, n_vocab: int, *, prompt: Iterable[int] = (), draws: bool = True) -> None:
        """`draws`: whether the last one chooses a token; without it there are only filters."""
        self._data = (lib.llama_token_data * n_vocab)()
        view = np.frombuffer(self._data, dtype=_TOKEN)
        self._ids, self._logits = view["id"], view["logit"]
        self._chain = make_chain(*_samplers(options, n_vocab, draws=draws))
        for token in prompt:
            lib.llama_sampler_accept(self._chain, token)

    def sample(self, logits: Floats) -> int:
        """The next token, accepted."""
        array = self._applied(logits)
        token = int(array.data[array.selected].id)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def left(self, logits: Floats) -> npt.NDArray[Any]:
        """What it leaves of all tokens: fields `id`, `logit`, `p`."""
        array = self._applied(logits)
        items = ctypes.cast(array.data, ctypes.POINTER(lib.llama_token_data * array.size))  # XTC moves the beginning
        return np.frombuffer(items.contents, dtype=_TOKEN).copy()

    def _applied(self, logits: Floats) -> Any:
        self._ids[:] = np.arange(len(logits))
        self._logits[:] = logits
        array = lib.llama_token_data_array(
            data=ctypes.cast(self._data, lib.llama_token_data_p), size=len(logits), selected=-1, sorted=False
        )
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        return array

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lib.llama_sampler_free(self._chain)


def _samplers(o: Sampling, n_vocab: int, *, draws: bool) -> list[Any]:
    """The members of the chain, in order."""
    biases = (lib.llama_logit_bias * len(o.logit_bias))(*o.logit_bias)
    head = [lib.llama_sampler_init_logit_bias(n_vocab, len(o.logit_bias), biases)]
    seed = o.seed or 0
    if o.mirostat == 1:
        last = lib.llama_sampler_init_mirostat(n_vocab, seed, o.mirostat_tau, o.mirostat_eta, 100)
        return [*head, lib.llama_sampler_init_temp(o.temperature), last]
    if o.mirostat == 2:
        last = lib.llama_sampler_init_mirostat_v2(seed, o.mirostat_tau, o.mirostat_eta)
        return [*head, lib.llama_sampler_init_temp(o.temperature), last]
    make = {
        "penalties": lambda: lib.llama_sampler_init_penalties(
            n_vocab, o.repeat_last_n, o.repeat_penalty, o.frequency_penalty, o.presence_penalty
        ),
        "top_n_sigma": lambda: lib.llama_sampler_init_top_n_sigma(o.top_n_sigma),
        "top_k": lambda: lib.llama_sampler_init_top_k(o.top_k),
        "typ_p": lambda: lib.llama_sampler_init_typical(o.typical_p, o.min_keep),
        "top_p": lambda: lib.llama_sampler_init_top_p(o.top_p, o.min_keep),
        "min_p": lambda: lib.llama_sampler_init_min_p(o.min_p, o.min_keep),
        "xtc": lambda: lib.llama_sampler_init_xtc(o.xtc_probability, o.xtc_threshold, o.min_keep, seed),
        "temperature": lambda: lib.llama_sampler_init_temp_ext(o.temperature, o.dynatemp_range, o.dynatemp_exponent),
    }
    order = [name for name in SAMPLERS if name != "dry"] if o.samplers is None else o.samplers
    members = [*head, *(make[name]() for name in order if name != ADAPTIVE_P)]
    if ADAPTIVE_P in order:
        return [*members, lib.llama_sampler_init_adaptive_p(o.adaptive_target, o.adaptive_decay, seed)]
    return [*members, lib.llama_sampler_init_dist(seed)] if draws else members


def chances(logits: Floats, options: Sampling, *, prompt: Iterable[int] = ()) -> Doubles:
    """The chance that the chain gives every token, without a draw: from the logits that its filters leave.

    Those samplers that choose by themselves say so too. XTC works by chance: of both cases, as often as they come.
    """
    if 0 < options.xtc_probability < 1:
        never, always = (msgspec.structs.replace(options, xtc_probability=p) for p in (0.0, 1.0))
        share = options.xtc_probability
        return (1 - share) * chances(logits, never, prompt=prompt) + share * chances(logits, always, prompt=prompt)
    with LlamaChain(options, len(logits), prompt=prompt, draws=False) as chain:
        left = chain.left(logits)
    found = np.zeros(len(logits))
    chooses = options.mirostat in (1, 2) or ADAPTIVE_P in (options.samplers or ())
    weights = left["p"] if chooses else np.exp(left["logit"].astype(np.float64) - left["logit"].max())
    found[left["id"]] = weights / weights.sum(dtype=np.float64)
    return found
