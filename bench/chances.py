"""Whether the sampler gives every token the chance that llama.cpp's chain gives it: `python -m bench.chances [draws]`.

For fixed logits llama.cpp's own filters leave tokens with logits, and so exact chances, without a draw; 100,000 draws
of ours (or as many as said) are compared with them by chi-square.
"""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bench import llama_chain
from models.runner.settings import Sampling
from models.sampling.passes import passes_for
from models.sampling.ports import Passes
from models.sampling.sampler import Biases, Sampler

N_VOCAB = 5003
"""Many enough not to be sorted, and no multiple of a block."""
N_DRAWS = 100_000
PROMPT = (5, 9, 9, 12)
_LEAST_EXPECTED = 20
_N_GROUPS = 300

Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]


class Verdict(NamedTuple):
    """How far draws are from their chances: chi-square's deviation in standard deviations, and how often chance alone
    makes one as large; draws that no filter lets pass."""

    deviation: float
    p_value: float
    n_forbidden: int


def _sampling(**options: object) -> Sampling:
    """All filters off but those said."""
    return msgspec.convert({"top_k": 0, "top_p": 1.0, "temperature": 1.0, **options}, Sampling)


CASES = {
    "nothing": _sampling(),
    "cold": _sampling(temperature=0.6),
    "hot": _sampling(temperature=1.6),
    "top_k": _sampling(top_k=40),
    "a large top_k": _sampling(top_k=300, temperature=1.2),
    "top_p": _sampling(top_p=0.9),
    "top_p, cold": _sampling(top_p=0.9, temperature=0.3),
    "top_p, hot": _sampling(top_p=0.9, temperature=1.5),
    "a small top_p": _sampling(top_p=0.3, temperature=0.8),
    "min_p": _sampling(min_p=0.05),
    "min_p, hot": _sampling(min_p=0.02, temperature=1.5),
    "top_p and min_p": _sampling(top_p=0.9, min_p=0.02, temperature=0.8),
    "typical_p": _sampling(typical_p=0.9),
    "typical_p, hot": _sampling(typical_p=0.8, temperature=1.5),
    "a small typical_p": _sampling(typical_p=0.3),
    "typical_p and top_p": _sampling(typical_p=0.9, top_p=0.9),
    "typical_p and min_p": _sampling(typical_p=0.9, min_p=0.05, temperature=0.8),
    "typical_p, top_p and min_p": _sampling(typical_p=0.95, top_p=0.9, min_p=0.02),
    "Ollama's defaults": Sampling(),
    "all filters": Sampling(top_k=60, top_p=0.95, min_p=0.01, typical_p=0.95, temperature=1.1),
    "penalties": _sampling(repeat_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.4),
    "penalties and top_p": _sampling(repeat_penalty=1.3, top_p=0.9, temperature=0.8),
    "all filters and penalties": Sampling(
        top_k=60, top_p=0.95, min_p=0.01, typical_p=0.95, repeat_penalty=1.2, presence_penalty=0.3, repeat_last_n=3
    ),
    "biases": _sampling(logit_bias=((3, 4.5), (17, -math.inf), (5, 2.0)), top_p=0.95),
    "top_n_sigma": _sampling(top_n_sigma=2.5),
    "top_n_sigma and top_p": _sampling(top_n_sigma=3.0, top_p=0.9),
    "dynamic temperature": _sampling(dynatemp_range=0.5, dynatemp_exponent=1.3),
    "dynamic temperature and top_k": _sampling(top_k=50, dynatemp_range=0.7),
    "xtc": _sampling(xtc_probability=0.5, xtc_threshold=0.003),
    "xtc and top_k": Sampling(xtc_probability=0.6, xtc_threshold=0.03),
    "xtc, always": _sampling(xtc_probability=1.0, xtc_threshold=0.003, top_p=0.95),
    "min_keep": Sampling(min_keep=12, top_p=0.1, min_p=0.5),
    "min_keep without top_k": _sampling(min_keep=200, top_p=0.1),
    "min_keep and typical_p": _sampling(min_keep=200, typical_p=0.2),
    "min_keep and xtc": Sampling(min_keep=38, xtc_probability=1.0, xtc_threshold=0.03, top_p=1.0),
    "adaptive_p": _sampling(samplers=("adaptive_p", "min_p"), min_p=0.02, adaptive_target=0.03),
    "adaptive_p alone": _sampling(samplers=("adaptive_p",), adaptive_target=0.01),
    "mirostat 1": _sampling(mirostat=1, mirostat_tau=4.0, mirostat_eta=0.0),
    "mirostat 2": _sampling(mirostat=2, mirostat_tau=3.5, mirostat_eta=0.0),
    "mirostat 2, hot": _sampling(mirostat=2, mirostat_tau=5.0, mirostat_eta=0.0, temperature=1.4),
    "temperature first": _sampling(samplers=("temperature", "top_p", "min_p"), top_p=0.9, min_p=0.01, temperature=1.4),
    "temperature first, and typical_p": _sampling(
        samplers=("temperature", "typ_p", "top_k"), typical_p=0.9, top_k=80, temperature=0.7
    ),
    "penalties last": _sampling(
        samplers=("top_k", "top_p", "penalties", "temperature"),
        top_k=90,
        top_p=0.95,
        repeat_penalty=1.5,
        temperature=0.8,
    ),
    "min_p first, then xtc": _sampling(
        samplers=("min_p", "xtc", "top_k"), min_p=0.02, top_k=50, xtc_probability=0.5, xtc_threshold=0.02
    ),
    "typical_p twice": _sampling(samplers=("top_k", "typ_p", "typ_p", "temperature"), top_k=100, typical_p=0.8),
    "no sampler": _sampling(samplers=()),
}


def fixed_logits() -> dict[str, Rows]:
    """What the cases are drawn from: few tokens, which are sorted; many, of which some stand out; many, nearly flat."""
    source = np.random.default_rng(4)
    few = source.normal(0, 1.5, 400)
    ranks = np.log(np.arange(1, 20_001))
    text = source.permutation(-1.3 * ranks + source.normal(0, 0.3, len(ranks))) + 5
    noise = source.normal(0, 1.2, 6000)
    found = {"few": few, "text": text, "noise": noise}
    return {kind: logits.astype(np.float32) for kind, logits in found.items()}


def verdict(options: Sampling, logits: Rows, n_draws: int, passes: Passes | None = None) -> Verdict:
    """Our draws after `PROMPT` against llama.cpp's chances."""
    options = msgspec.structs.replace(options, seed=1)
    return judge(logits, options, n_draws, llama_chain.chances(logits, options, prompt=PROMPT), passes=passes)


def kinds() -> dict[str, Rows]:
    """Fixed logits: falling off like words, a few beside many, nearly flat, with equal and with impossible ones."""
    source = np.random.default_rng(3)
    ranks = np.log(np.arange(1, N_VOCAB + 1))
    text = source.permutation(-2.0 * ranks + source.normal(0, 0.3, N_VOCAB)) + 9
    broad = source.permutation(-1.1 * ranks + source.normal(0, 0.3, N_VOCAB)) - 30
    noise = source.normal(0, 1.5, N_VOCAB)
    equal = np.round(source.normal(0, 1.5, N_VOCAB) * 2) / 2
    masked = np.where(source.random(N_VOCAB) < 0.9, -np.inf, noise)
    found = {"text": text, "broad": broad, "noise": noise, "equal": equal, "masked": masked}
    return {kind: logits.astype(np.float32) for kind, logits in found.items()}


def exact_chances(logits: Rows, options: Sampling) -> Doubles:
    """The chance of every token."""
    values = logits.astype(np.float64)
    ids = np.argsort(-values, kind="stable")
    ids = ids[: options.top_k] if options.top_k > 0 else ids
    ids = ids[values[ids] > -np.inf]
    if options.typical_p < 1:
        probs = _softmax(values[ids])
        distances = np.abs(-np.log(probs) + (probs * np.log(probs)).sum())
        order = distances.argsort(kind="stable")
        n_kept = int(probs[order].cumsum().searchsorted(options.typical_p, side="right")) + 1
        ids = np.array(sorted(ids[order[:n_kept]], key=lambda token: (-values[token], token)))
    if options.top_p < 1:
        ids = ids[: int(_softmax(values[ids]).cumsum().searchsorted(options.top_p)) + 1]
    if options.min_p > 0:
        ids = ids[values[ids] >= values[ids].max() + np.log(options.min_p)]
    chances = np.zeros(len(values))
    chances[ids] = _softmax(values[ids] / options.temperature)
    return chances


def _softmax(values: Doubles) -> Doubles:
    weights = np.exp(values - values.max())
    probs: Doubles = weights / weights.sum()
    return probs


def judge(
    logits: Rows, options: Sampling, n_draws: int, chances: Doubles | None = None, *, passes: Passes | None = None
) -> Verdict:
    """Draw, by the quickest passes or by others, and compare with the exact chances, or with others."""
    biases = Biases.of(dict(options.logit_bias)) if options.logit_bias else None  # type: ignore[arg-type]
    sampler = Sampler(options, passes or passes_for(len(logits)), prompt=PROMPT, biases=biases)
    tokens = [sampler.pick(logits.copy()) for _ in range(n_draws)]
    counts = np.bincount(tokens, minlength=len(logits))
    chances = exact_chances(logits, options) if chances is None else chances
    observed, expected = _grouped(counts, chances, n_draws)
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    n_free = max(len(expected) - 1, 1)
    deviation = (chi_square - n_free) / (2 * n_free) ** 0.5
    return Verdict(deviation, survival(chi_square, n_free), int(counts[chances == 0].sum()))


def survival(chi_square: float, n_free: int) -> float:
    """How probable it is that chi-square of so many degrees of freedom is larger."""
    half = chi_square / 2
    if half <= 0:
        return 1.0
    first, start = (math.erfc(half**0.5), 0.5) if n_free % 2 else (0.0, 0.0)
    powers = (start + i for i in range(n_free // 2))
    terms = (math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers)
    return min(first + sum(terms), 1.0)


def _grouped(counts: npt.NDArray[np.intp], chances: Doubles, n_draws: int) -> tuple[Doubles, Doubles]:
    """Tokens of about the same chance together, so many that enough of each group are expected."""
    order = np.argsort(-chances, kind="stable")
    expected = chances[order] * n_draws
    groups = ((expected.cumsum() - expected) // max(_LEAST_EXPECTED, n_draws / _N_GROUPS)).astype(np.intp)
    wanted = np.bincount(groups, expected).astype(np.float64)
    seen = np.bincount(groups, counts[order]).astype(np.float64)
    small = wanted < _LEAST_EXPECTED / 4
    seen, wanted = np.append(seen[~small], seen[small].sum()), np.append(wanted[~small], wanted[small].sum())
    return seen[wanted > 1], wanted[wanted > 1]


def main() -> None:
    n_draws = int(sys.argv[1]) if len(sys.argv) > 1 else N_DRAWS
    print(f"{n_draws:,} draws a case: p-value of chi-square (draws that llama.cpp's filters let pass none of)")
    found = list[Verdict]()
    rows = fixed_logits()
    for name, options in CASES.items():
        verdicts = [verdict(options, row, n_draws) for row in rows.values()]
        found += verdicts
        print(
            *(f"{kind} {v.p_value:.4f} ({v.n_forbidden})" for kind, v in zip(rows, verdicts, strict=True)),
            name,
            flush=True,
        )
    n_forbidden = sum(v.n_forbidden for v in found)
    print(f"{len(found)} cases; least p-value {min(v.p_value for v in found):.2g}; forbidden draws {n_forbidden}")


if __name__ == "__main__":
    main()
