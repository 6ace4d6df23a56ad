"""Our sampler against llama.cpp's own chain: the same token for the same seed. The chances: test_chances.py."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.llama_chain import LlamaChain
from models.builtin.install import WEIGHTS
from models.llama.binding import lib, start_backends
from models.llama.logs import native_log
from models.llama.model import Model
from models.runner.settings import Sampling
from models.sampling.chain import Floats
from models.sampling.dry import Dry, find_breakers
from models.sampling.passes import passes_for
from models.sampling.sampler import Biases, Sampler

pytestmark = pytest.mark.model

PROMPT = [5, 9, 9, 12]


@pytest.fixture(scope="module")
def pico() -> Model:
    native_log.install()
    start_backends()
    return Model(str(WEIGHTS), n_gpu_layers=0, main_gpu=None, use_mmap=True)


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
    "biases": Sampling(logit_bias=((3, 4.5), (17, -math.inf), (5, 9.0))),
    "top_n_sigma": Sampling(top_n_sigma=1.5),
    "top_n_sigma without top_k": Sampling(top_n_sigma=3.0, top_k=0, top_p=0.9),
    "xtc": Sampling(xtc_probability=0.6, xtc_threshold=0.05),
    "xtc, always": Sampling(xtc_probability=1.0, xtc_threshold=0.1, temperature=0.5),
    "xtc and greedy": Sampling(xtc_probability=1.0, xtc_threshold=0.1, temperature=0),
    "dynatemp": Sampling(dynatemp_range=0.5, dynatemp_exponent=1.3),
    "dynatemp and top_n_sigma": Sampling(dynatemp_range=0.7, top_n_sigma=1.0, top_p=1.0),
    "mirostat 1": Sampling(mirostat=1, mirostat_tau=4.0),
    "mirostat 2": Sampling(mirostat=2, mirostat_tau=3.0, mirostat_eta=0.2, temperature=1.1),
    "mirostat, often without a choice": Sampling(mirostat=2, mirostat_tau=0.3),
    "mirostat and greedy": Sampling(mirostat=2, temperature=0),
    "temperature first": Sampling(samplers=("temperature", "top_k", "top_p", "min_p"), temperature=0.6, min_p=0.01),
    "penalties last": Sampling(samplers=("top_k", "penalties", "temperature"), repeat_penalty=1.5, presence_penalty=1),
    "min_p first": Sampling(samplers=("min_p", "xtc", "top_k"), min_p=0.05, xtc_probability=0.5, xtc_threshold=0.1),
    "typical twice": Sampling(samplers=("top_k", "typ_p", "typ_p", "temperature"), typical_p=0.8),
    "min_keep": Sampling(min_keep=5, top_p=0.1, min_p=0.9, temperature=2.0),
    "min_keep and typical": Sampling(min_keep=7, top_k=30, typical_p=0.01, top_p=1.0, temperature=2.0),
    "min_keep without top_k": Sampling(min_keep=9, top_k=0, top_p=0.02, temperature=2.0),
    "min_keep, min_p alone": Sampling(min_keep=9, top_k=0, top_p=1.0, min_p=0.99, temperature=2.0),
    "min_keep, typical alone": Sampling(min_keep=9, top_k=0, top_p=1.0, typical_p=0.0001, temperature=2.0),
    "min_keep and xtc": Sampling(min_keep=38, xtc_probability=1.0, xtc_threshold=0.05, top_p=1.0),
    "min_keep and xtc, not too many": Sampling(min_keep=39, xtc_probability=1.0, xtc_threshold=0.01, top_p=1.0),
    "adaptive_p": Sampling(samplers=("adaptive_p", "top_k", "min_p"), min_p=0.01, adaptive_target=0.3),
    "adaptive_p, quick": Sampling(
        samplers=("top_k", "temperature", "adaptive_p"), adaptive_target=0.05, adaptive_decay=0.5, temperature=1.5
    ),
    "adaptive_p without a target": Sampling(samplers=("top_k", "adaptive_p")),
    "adaptive_p above 1": Sampling(samplers=("top_k", "adaptive_p"), adaptive_target=1.0, adaptive_decay=0.99),
    "top_k alone": Sampling(samplers=("top_k",), top_k=5),
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
BROAD = {("top_p alone", 20_000), ("typical alone", 20_000), ("top_n_sigma without top_k", 20_000)}


@pytest.mark.parametrize(
    ("name", "n_vocab"), [(name, n) for name in OPTIONS for n in (1000, 20_000) if (name, n) not in BROAD]
)
def test_the_same_seed_picks_the_same_tokens(name: str, n_vocab: int) -> None:
    options = _with_seed(OPTIONS[name], 42)
    n_steps = 60 if options.mirostat == 1 else 150  # its estimate feeds on itself, so it doubles what rounding does
    ours = Sampler(options, passes_for(n_vocab), prompt=PROMPT, biases=_biases(options))
    with LlamaChain(options, n_vocab, prompt=PROMPT) as theirs:
        picked = [(theirs.sample(logits), ours.sample(logits.copy())) for logits in steps(n_vocab, n_steps)]
    # a random number that falls on the edge between two tokens may fall to either side, once in a very long while
    assert sum(a != b for a, b in picked) <= (1 if options.top_k == 0 else 0)


@pytest.mark.parametrize("breakers", [(), ("\n", ":"), ("\n", ".", " the", "and so")])
@pytest.mark.parametrize("last_n", [7, 64, 4000])
def test_dry_is_llama_cpps_to_the_last_bit(breakers: tuple[str, ...], last_n: int, pico: Model) -> None:
    """Random histories with many repetitions, of few tokens, breakers among them."""
    vocab, source = pico.vocab, np.random.default_rng(last_n)
    pieces = [vocab.raw_piece(token) for token in range(vocab.n_tokens)]
    found: dict[int, list[tuple[int, ...]]] = {}
    for text in breakers:
        plain = functools.partial(vocab.tokenize, add_special=False, parse_special=False)
        for token, tails in find_breakers(text, pieces, lambda rest, plain=plain: plain(rest).tolist()).items():
            found.setdefault(token, []).extend(tails)
    words = vocab.tokenize("the cat.\nand so: the dog", add_special=False).tolist()
    array = (ctypes.c_char_p * len(breakers))(*(text.encode() for text in breakers))
    n_lowered = 0
    for allowed, multiplier, base in ((0, 0.7, 1.3), (1, 0.8, 1.75), (2, 1.1, 1.0), (4, 0.3, 9.0)):
        options = Sampling(
            dry_multiplier=multiplier, dry_base=base, dry_allowed_length=allowed, dry_penalty_last_n=last_n
        )
        native = lib.llama_sampler_init_dry(vocab.handle, multiplier, base, allowed, last_n, array, len(breakers))
        ours, history = Dry(options, found, n_ctx=8192), list[int]()
        while len(history) < 300:
            start = int(source.integers(max(len(history) - 20, 0), len(history) + 1))
            repeated = history[start : start + int(source.integers(2, 15))]
            for token in repeated if source.random() < 0.7 else [words[int(source.integers(0, len(words)))]]:
                history.append(token)
                ours.accept(token)
                lib.llama_sampler_accept(native, token)
                logits = source.normal(0, 2, vocab.n_tokens).astype(np.float32)
                expected = _applied(native, logits)
                n_lowered += int((expected < logits).sum())
                ours.apply(logits)
                assert np.array_equal(logits, expected)
        lib.llama_sampler_free(native)
    assert n_lowered > 500


def _applied(native: Any, logits: Floats) -> Floats:
    """What a sampler of llama.cpp makes of logits."""
    n = len(logits)
    data = (lib.llama_token_data * n)()
    view = np.frombuffer(data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
    view["id"], view["logit"] = np.arange(n), logits
    array = lib.llama_token_data_array(
        data=ctypes.cast(data, lib.llama_token_data_p), size=n, selected=-1, sorted=False
    )
    lib.llama_sampler_apply(native, ctypes.byref(array))
    return view["logit"].copy()


def _biases(options: Sampling) -> Biases | None:
    return Biases.of(dict(options.logit_bias)) if options.logit_bias else None  # type: ignore[arg-type]


def _with_seed(options: Sampling, seed: int) -> Sampling:
    return msgspec.structs.replace(options, seed=seed)
