"""What sampling costs per token, in CPU time, for every combination of options: `python -m bench.sampling`.

Three kinds of logits over a vocabulary of 128,256: `text` falls off like the words of a language, with a head as sharp
or as broad as the word before leaves it; `broad` has hundreds to thousands of tokens in a nucleus of 0.9; `noise` is
what a model with random weights computes, where half the vocabulary is in it. A second table has the same for
llama.cpp's own chain, which takes the sampler's place where a model runs one sequence and the options suit it.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.decodes import Steps, loaded
from bench.random_model import Shape, make
from models.llama.chain import NativeChain
from models.runner.settings import Sampling
from models.sampling.passes import passes_for
from models.sampling.sampler import Sampler

N_VOCAB = 128_256
N_ROWS = 32
N_TOKENS = 64
ROUNDS = 12
"""Many short ones: on a shared machine some fall into quiet moments."""

HOLDER = Shape("logits-holder", 1, 64, 2, 2, 64, N_VOCAB, 256, 1e4)
"""The least model with such a vocabulary: llama.cpp samples what a context has computed."""

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
    names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
    values = ((0.8, 1.0), (0, 40), (1.0, 0.9), (0.0, 0.05), (1.0, 0.9))
    penalties: tuple[dict[str, float], ...] = (
        {},
        {"repeat_penalty": 1.1},
        {"presence_penalty": 0.5, "frequency_penalty": 0.5, "repeat_penalty": 1.1},
    )
    for lowered in penalties:
        yield {"temperature": 0.0, **lowered}
        for chosen in itertools.product(*values):
            yield {**dict(zip(names, chosen, strict=True)), **lowered}


def cost_us(sample: Callable[[Rows], int], logits: Rows, rows: Rows) -> float:
    """CPU microseconds per token, for logits that are first written to one place."""
    spent = 0
    for i in range(N_TOKENS):
        np.copyto(logits, rows[i % len(rows)])
        started = time.thread_time_ns()
        sample(logits)
        spent += time.thread_time_ns() - started
    return spent / N_TOKENS / 1000


def our_costs(rows: dict[str, Rows]) -> list[dict[str, Any]]:
    """What each combination costs; the least of some rounds, each of which has all of them."""
    prompt = np.random.default_rng(2).integers(0, N_VOCAB, 200).astype(np.int32)
    passes, logits = passes_for(N_VOCAB), np.empty(N_VOCAB, dtype=np.float32)

    def sampler(options: Sampling) -> Callable[[Rows], int]:
        return Sampler(options, passes, prompt=prompt).sample

    return _costs(rows, logits, [*combinations()], sampler)


def native_costs(rows: dict[str, Rows]) -> list[dict[str, Any]]:
    """The same for llama.cpp's chain, of the combinations that are left to it."""
    with tempfile.TemporaryDirectory() as folder, loaded(make(HOLDER, Path(folder)), on_gpu=False) as model:
        steps = Steps(model, n_sequences=1, n_ctx=256)
        steps.time((0, 1, 0))

        def sampler(options: Sampling) -> Callable[[Rows], int]:
            return NativeChain(steps.context, options).sample

        suiting = [options for options in combinations() if NativeChain.suits(Sampling(**options))]
        return _costs(rows, steps.context.logits()[0], suiting, sampler)


def _costs(
    rows: dict[str, Rows],
    logits: Rows,
    wanted: list[dict[str, Any]],
    sampler: Callable[[Sampling], Callable[[Rows], int]],
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"options": options, "cpu_us": {}} for options in wanted]
    for _ in range(ROUNDS):
        for result, (kind, some) in itertools.product(found, rows.items()):
            cost = cost_us(sampler(Sampling(seed=1, **result["options"])), logits, some)
            result["cpu_us"][kind] = min(round(cost, 1), result["cpu_us"].get(kind, cost))
    return found


def show(title: str, results: list[dict[str, Any]]) -> None:
    print(f"{'text':>8} {'broad':>8} {'noise':>8}   {title}: CPU µs a token, vocabulary {N_VOCAB:,}")
    for result in results:
        costs = (f"{cost:8.1f}" for cost in result["cpu_us"].values())
        print(*costs, "  ", " ".join(f"{k}={v}" for k, v in result["options"].items()))
    worst = {kind: max(result["cpu_us"][kind] for result in results) for kind in results[0]["cpu_us"]}
    print("worst:", json.dumps(worst), flush=True)


def main() -> None:
    rows = kinds()
    results = {"Puna": our_costs(rows), "llama.cpp's chain": native_costs(rows)}
    for title, found in results.items():
        show(title, found)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
