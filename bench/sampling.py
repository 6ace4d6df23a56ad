"""What sampling costs per token, in CPU time, for every combination of options: `python -m bench.sampling`.

Three kinds of logits over a vocabulary of 128,256: `text` falls off like the words of a language, with a head as sharp
or as broad as the word before leaves it; `broad` has hundreds to thousands of tokens in a nucleus of 0.9; `noise` is
what a model with random weights computes, where half the vocabulary is in it.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runner.settings import Sampling
from models.sampling.sampler import Sampler
from models.sampling.whole import Scratch

N_VOCAB = 128_256
N_ROWS = 32
N_TOKENS = 160
ROUNDS = 3

Rows = npt.NDArray[np.float32]


def kinds() -> dict[str, Rows]:
    """Logits by kind, (N_ROWS, N_VOCAB) each."""
    source = np.random.default_rng(1)
    ranks = np.log(np.arange(1, N_VOCAB + 1))
    found = {}
    for kind, steepness in (("text", (1.5, 4.0)), ("broad", (1.05, 1.4))):
        rows = -ranks * source.uniform(*steepness, (N_ROWS, 1)) + source.normal(0, 0.3, (N_ROWS, N_VOCAB))
        found[kind] = source.permuted(rows, axis=1).astype(np.float32)
    found["noise"] = source.normal(0, 1.5, (N_ROWS, N_VOCAB)).astype(np.float32)
    return found


def combinations() -> Iterator[dict[str, Any]]:
    """Options that differ in cost; the seed makes no difference and is always set."""
    names = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty")
    values = ((0.8, 1.0), (0, 40), (1.0, 0.9), (0.0, 0.05), (1.0, 0.9), (1.0, 1.1))
    yield {"temperature": 0.0}
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def cost_us(options: dict[str, Any], rows: Rows, scratch: Scratch, prompt: npt.NDArray[np.int32]) -> float:
    """CPU microseconds per token; the least of some rounds."""
    logits = np.empty_like(rows[0])
    best = float("inf")
    for _ in range(ROUNDS):
        sampler = Sampler(Sampling(seed=1, **options), scratch, prompt=prompt)
        spent = 0
        for i in range(N_TOKENS):
            np.copyto(logits, rows[i % len(rows)])
            started = time.thread_time_ns()
            sampler.sample(logits)
            spent += time.thread_time_ns() - started
        best = min(best, spent / N_TOKENS / 1000)
    return best


def main() -> None:
    prompt = np.random.default_rng(2).integers(0, N_VOCAB, 200).astype(np.int32)
    scratch = Scratch(N_VOCAB)
    rows = kinds()
    results = []
    print(f"{'text':>8} {'broad':>8} {'noise':>8}   CPU µs a token, vocabulary {N_VOCAB:,}")
    for options in combinations():
        costs = {kind: round(cost_us(options, rows[kind], scratch, prompt), 1) for kind in rows}
        results.append({"options": options, "cpu_us": costs})
        print(*(f"{cost:8.1f}" for cost in costs.values()), "  ", " ".join(f"{k}={v}" for k, v in options.items()))
    worst = {kind: max(result["cpu_us"][kind] for result in results) for kind in rows}
    print("worst:", json.dumps(worst))
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
