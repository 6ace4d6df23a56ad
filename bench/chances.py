"""Whether the sampler gives every token its chance: `python -m bench.chances [draws]`, 100,000 draws unless said.

For fixed logits the chances are computed in double precision from what the filters of llama.cpp's chain are defined to
be; the draws are compared with them by chi-square.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.runner.settings import Sampling
from models.sampling.sampler import Sampler
from models.sampling.whole import Scratch

N_VOCAB = 5003
"""Many enough not to be sorted, and no multiple of a block."""
N_DRAWS = 100_000
_LEAST_EXPECTED = 20
_N_GROUPS = 300

Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]


class Verdict(NamedTuple):
    """How far draws are from their chances: standard deviations of chi-square, and draws that no filter lets pass."""

    deviation: float
    n_forbidden: int


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


def combinations() -> Iterator[dict[str, Any]]:
    """Options with and without each filter, at temperatures below, at and above 1."""
    names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
    for chosen in itertools.product((0.7, 1.0, 1.4), (0, 40), (1.0, 0.9), (0.0, 0.02), (1.0, 0.8)):
        yield dict(zip(names, chosen, strict=True))
    for top_p, typical_p, temperature in ((0.2, 1.0, 1.0), (1.0, 0.2, 1.0), (0.999, 1.0, 1.0), (0.9, 1.0, 0.3)):
        yield dict(zip(names, (temperature, 0, top_p, 0.0, typical_p), strict=True))


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


def judge(logits: Rows, options: Sampling, n_draws: int, chances: Doubles | None = None) -> Verdict:
    """Draw, and compare with the exact chances, or with others."""
    sampler = Sampler(options, Scratch(len(logits)))
    tokens = [sampler.sample(logits.copy()) for _ in range(n_draws)]
    counts = np.bincount(tokens, minlength=len(logits))
    chances = exact_chances(logits, options) if chances is None else chances
    observed, expected = _grouped(counts, chances, n_draws)
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    n_free = max(len(expected) - 1, 1)
    return Verdict((chi_square - n_free) / (2 * n_free) ** 0.5, int(counts[chances == 0].sum()))


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
    print(f"{n_draws:,} draws a case: deviation of chi-square in standard deviations (draws that no filter lets pass)")
    worst = 0.0
    for options in combinations():
        verdicts = {kind: judge(row, Sampling(seed=1, **options), n_draws) for kind, row in kinds().items()}
        worst = max(worst, *(verdict.deviation for verdict in verdicts.values()))
        cells = (f"{kind} {verdict.deviation:5.2f} ({verdict.n_forbidden})" for kind, verdict in verdicts.items())
        print(*cells, "  ", " ".join(f"{name}={value}" for name, value in options.items()), flush=True)
    print(f"worst: {worst:.2f}")


if __name__ == "__main__":
    main()
