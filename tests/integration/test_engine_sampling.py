"""Our sampler against llama.cpp's own chain: the same token for the same seed, the same chances for every token."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from models.llama.binding import lib
from models.runner.messages import Sampling
from models.sampling.broad import Scratch
from models.sampling.chain import Floats
from models.sampling.sampler import Sampler

pytestmark = pytest.mark.model

PROMPT = [5, 9, 9, 12]


class NativeChain:
    """The chain that llama.cpp's server makes for these options."""

    def __init__(self, options: Sampling, n_vocab: int) -> None:
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        self._data = (lib.llama_token_data * n_vocab)()
        view = np.frombuffer(self._data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])  # type: ignore[call-overload]
        self._ids, self._logits, self._probs = view["id"], view["logit"], view["p"]
        o = options
        for sampler in (
            lib.llama_sampler_init_penalties(
                n_vocab, o.repeat_last_n, o.repeat_penalty, o.frequency_penalty, o.presence_penalty
            ),
            lib.llama_sampler_init_top_k(o.top_k),
            lib.llama_sampler_init_typical(o.typical_p, 0),
            lib.llama_sampler_init_top_p(o.top_p, 0),
            lib.llama_sampler_init_min_p(o.min_p, 0),
            lib.llama_sampler_init_temp_ext(o.temperature, 0.0, 1.0),
            lib.llama_sampler_init_dist(o.seed or 0),
        ):
            lib.llama_sampler_chain_add(self._chain, sampler)
        for token in PROMPT:
            lib.llama_sampler_accept(self._chain, token)

    def apply(self, logits: Floats) -> tuple[int, dict[int, float]]:
        """The token it picks, and the chances of all that it could have picked."""
        self._ids[:] = np.arange(len(logits))
        self._logits[:] = logits
        array = lib.llama_token_data_array(
            data=ctypes.cast(self._data, lib.llama_token_data_p), size=len(logits), selected=-1, sorted=False
        )
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        n = int(array.size)
        probs = {int(i): float(p) for i, p in zip(self._ids[:n], self._probs[:n], strict=True)}
        return int(self._ids[array.selected]), probs

    def sample(self, logits: Floats) -> int:
        token, _ = self.apply(logits)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        lib.llama_sampler_free(self._chain)


def steps(n_vocab: int, n_steps: int) -> Iterator[Floats]:
    """Logits like a model's: a broad mass, and a few tokens that stand out."""
    source = np.random.default_rng(1)
    for _ in range(n_steps):
        logits = source.normal(0, 2, n_vocab).astype(np.float32)
        logits[source.integers(0, n_vocab, 6)] += np.float32(source.uniform(4, 12))
        yield logits


OPTIONS = {
    "defaults": Sampling(),
    "greedy": Sampling(temperature=0),
    "greedy with penalties": Sampling(temperature=0, repeat_penalty=1.5, presence_penalty=1.0),
    "hot": Sampling(temperature=1.8),
    "cold": Sampling(temperature=0.05),
    "few": Sampling(top_k=3, top_p=1.0),
    "many": Sampling(top_k=500, top_p=0.99),
    "more than there are": Sampling(top_k=10_000, top_p=1.0),
    "min_p": Sampling(min_p=0.2, top_p=1.0),
    "min_p alone": Sampling(min_p=0.02, top_p=1.0, top_k=0),
    "top_p alone": Sampling(top_k=0, top_p=0.8),
    "typical": Sampling(typical_p=0.7),
    "typical and greedy": Sampling(typical_p=0.3, temperature=0),
    "typical alone": Sampling(typical_p=0.5, top_k=0, top_p=1.0),
    "nothing": Sampling(top_k=0, top_p=1.0, temperature=1.0),
    "everything": Sampling(
        top_k=60,
        top_p=0.95,
        min_p=0.01,
        typical_p=0.95,
        repeat_penalty=1.2,
        presence_penalty=0.3,
        frequency_penalty=0.2,
        repeat_last_n=10,
    ),
}


# With these, so many of 20,000 tokens stay that they are not sorted: the chances are the same, the picks are not.
BROAD = {("top_p alone", 20_000), ("typical alone", 20_000)}


@pytest.mark.parametrize(
    ("name", "n_vocab"), [(name, n) for name in OPTIONS for n in (1000, 20_000) if (name, n) not in BROAD]
)
def test_the_same_seed_picks_the_same_tokens(name: str, n_vocab: int) -> None:
    options = _with_seed(OPTIONS[name], 42)
    native = NativeChain(options, n_vocab)
    ours = Sampler(options, Scratch(n_vocab), prompt=PROMPT)
    picked = [(native.sample(logits), ours.sample(logits.copy())) for logits in steps(n_vocab, 150)]
    native.close()
    # a random number that falls on the edge between two tokens may fall to either side, once in a very long while
    assert sum(a != b for a, b in picked) <= (1 if options.top_k == 0 else 0)


FLAT = {
    "defaults": Sampling(),
    "a broad nucleus": Sampling(top_k=0, top_p=0.9),
    "a broad nucleus at 1": Sampling(top_k=0, top_p=0.9, temperature=1.0),
    "a broad nucleus, hot": Sampling(top_k=0, top_p=0.9, temperature=1.5),
    "a broad nucleus, cold": Sampling(top_k=0, top_p=0.9, temperature=0.3),
    "a broad nucleus with a floor": Sampling(top_k=0, top_p=0.9, min_p=0.05),
    "typical": Sampling(top_k=0, top_p=1.0, typical_p=0.6, temperature=1.0),
    "typical, hot": Sampling(top_k=0, top_p=1.0, typical_p=0.9, temperature=1.5),
    "typical with a floor": Sampling(top_k=0, top_p=1.0, typical_p=0.9, min_p=0.05),
    "typical and a nucleus": Sampling(top_k=0, top_p=0.9, typical_p=0.9),
    "nothing": Sampling(top_k=0, top_p=1.0, temperature=0.7),
    "penalties": Sampling(top_k=0, top_p=0.95, repeat_penalty=1.3, presence_penalty=0.5),
}


@pytest.mark.parametrize("options", FLAT.values(), ids=FLAT)
def test_every_token_has_the_chance_that_llama_cpp_gives_it(options: Sampling) -> None:
    """Chi-square over many draws from one broad distribution, far too broad to be sorted."""
    n_vocab, n_draws = 6000, 9_000
    logits = np.random.default_rng(2).normal(0, 1.0, n_vocab).astype(np.float32)
    native = NativeChain(options, n_vocab)
    _, chances = native.apply(logits)
    native.close()
    counts = np.zeros(n_vocab)
    for seed in range(4):
        sampler = Sampler(_with_seed(options, seed), Scratch(n_vocab), prompt=PROMPT)
        for _ in range(n_draws // 4):
            token = sampler._choose(_penalized(sampler, logits))
            counts[token] += 1
    probs = np.zeros(n_vocab)
    probs[list(chances)] = list(chances.values())
    assert counts[probs == 0].sum() <= n_draws * 2e-3, "tokens were picked that the chain rules out"
    groups = np.array_split(np.argsort(-probs, kind="stable"), 60)
    expected = np.array([probs[group].sum() for group in groups]) * n_draws
    observed = np.array([counts[group].sum() for group in groups])
    kept = expected > 5
    chi_square = (((observed - expected) ** 2)[kept] / expected[kept]).sum()
    assert chi_square < kept.sum() + 5 * np.sqrt(2 * kept.sum()), "the chances differ"


def _with_seed(options: Sampling, seed: int) -> Sampling:
    return msgspec.structs.replace(options, seed=seed)


def _penalized(sampler: Sampler, logits: Floats) -> Floats:
    """The logits as the chain sees them in every draw: what was drawn before does not count."""
    changed = logits.copy()
    if sampler._penalties is not None:
        sampler._penalties.apply(changed)
    return changed
