"""What sampling costs per token, in CPU time, for every combination of options: `python -m bench.sampling`.

The logits are in the processor's caches; with `--after-steps` they are those of 8 sequences, written one after the
other after more memory was read than there are caches, as llama.cpp leaves them after a step.

Three kinds of logits over a vocabulary of 128,256: `text` falls off like the words of a language, with a head as sharp
or as broad as the word before leaves it; `broad` has hundreds to thousands of tokens in a nucleus of 0.9; `noise` is
what a model with random weights computes, where half the vocabulary is in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runner.settings import Sampling
from models.sampling.passes import passes_for
from models.sampling.sampler import Sampler

N_VOCAB = 128_256
N_ROWS = 32
N_TOKENS = 64
ROUNDS = 12
"""Many short ones: on a shared machine some fall into quiet moments."""

N_SEQUENCES = 8
N_STEPS = 4
ROUNDS_AFTER_STEPS = 3

Rows = npt.NDArray[np.float32]

_EMPTYING: Rows = np.ones(25_000_000, dtype=np.float32)
"""100 MB, more than the caches have; zeros would be one page of memory."""


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


def cost_after_steps_us(sample: Callable[[Rows], int], step: Rows, rows: Rows) -> float:
    """CPU microseconds per token, for logits of several sequences that were written after the caches were emptied."""
    spent = 0
    for i in range(N_STEPS):
        _EMPTYING.sum()
        np.copyto(step, rows[i * len(step) % len(rows) :][: len(step)])
        started = time.thread_time_ns()
        for logits in step:
            sample(logits)
        spent += time.thread_time_ns() - started
    return spent / N_STEPS / len(step) / 1000


def measure(rows: dict[str, Rows], *, after_steps: bool = False) -> list[dict[str, Any]]:
    """What each combination costs; the least of some rounds, each of which has all of them."""
    prompt = np.random.default_rng(2).integers(0, N_VOCAB, 200).astype(np.int32)
    passes, step = passes_for(N_VOCAB), np.empty((N_SEQUENCES, N_VOCAB), dtype=np.float32)
    found: list[dict[str, Any]] = [{"options": options, "cpu_us": {}} for options in combinations()]
    for _ in range(ROUNDS_AFTER_STEPS if after_steps else ROUNDS):
        for result, (kind, some) in itertools.product(found, rows.items()):
            sampler = Sampler(Sampling(seed=1, **result["options"]), passes, prompt=prompt)
            if after_steps:
                cost = cost_after_steps_us(sampler.sample, step, some)
            else:
                cost = cost_us(sampler.sample, step[0], some)
            result["cpu_us"][kind] = min(round(cost, 1), result["cpu_us"].get(kind, cost))
    return found


def show(results: list[dict[str, Any]]) -> None:
    print(f"{'text':>8} {'broad':>8} {'noise':>8}   CPU µs a token, vocabulary {N_VOCAB:,}")
    for result in results:
        costs = (f"{cost:8.1f}" for cost in result["cpu_us"].values())
        print(*costs, "  ", " ".join(f"{k}={v}" for k, v in result["options"].items()))
    worst = {kind: max(result["cpu_us"][kind] for result in results) for kind in results[0]["cpu_us"]}
    print("worst:", json.dumps(worst), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.sampling", description="What choosing a token costs.")
    arguments.add_argument("--after-steps", action="store_true", help="with caches that a step has emptied")
    arguments.add_argument("--out", type=Path, help="a JSON file to write")
    chosen = arguments.parse_args()
    results = measure(kinds(), after_steps=chosen.after_steps)
    show(results)
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
