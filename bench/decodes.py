"""How long llama.cpp takes, without the engine: single decodes of a context in a given state.

python -m bench.decodes KIND FILE [--quick] [--gpu]     prints one kind of figures as JSON, for bench.steps
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.servers import ALL_LAYERS
from bench.steps import QUICK, Figures, Sizes
from models.llama.binding import lib, start_backends
from models.llama.context import Context, ContextParams
from models.llama.embedder import Embedder
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.llama.threads import default_threads

N_BATCH = 512
FIRST_TOKEN = 300
"""Of the models' vocabularies, those from here on are words."""

Part = tuple[int, int, int]
"""Sequence, number of tokens, position of the first."""


class Steps:
    """A context that computes random tokens, each decode timed until its result is there."""

    def __init__(self, model: Model, *, n_sequences: int, n_ctx: int, shares_cells: bool = False) -> None:
        """`n_ctx`: of each sequence."""
        n_cells = -(-n_ctx // 256) * 256 * n_sequences
        params = ContextParams(n_cells, N_BATCH, n_sequences, default_threads(), shares_cells=shares_cells)
        self.context = Context(model, params)
        self._source = np.random.default_rng(1)
        self._n_vocab = model.vocab.n_tokens

    def time(self, *parts: Part) -> float:
        """Seconds that one decode of these takes, each with an output."""
        batch = self.context.batch
        batch.clear()
        for sequence, n, position in parts:
            tokens = self._source.integers(FIRST_TOKEN, self._n_vocab, n).astype(np.int32)
            batch.add(sequence, tokens, position, output=True)
        return timed(self._decode)

    def fill(self, sequence: int, n: int) -> float:
        """Give an empty sequence `n` tokens; returns the seconds that they took."""
        starts = range(0, n, N_BATCH)
        return sum(self.time((sequence, min(N_BATCH, n - start), start)) for start in starts)

    def _decode(self) -> None:
        outcome = self.context.decode()
        assert outcome is Outcome.DONE, f"the context had room for all of it: {outcome}"
        lib.llama_synchronize(self.context.handle)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def loaded(path: Path, *, on_gpu: bool) -> Iterator[Model]:
    native_log.install()
    start_backends()
    with Model(str(path), n_gpu_layers=ALL_LAYERS if on_gpu else 0) as model:
        yield model


@contextmanager
def steps(model: Model, *, n_sequences: int, n_ctx: int, shares_cells: bool = False) -> Iterator[Steps]:
    found = Steps(model, n_sequences=n_sequences, n_ctx=n_ctx, shares_cells=shares_cells)
    try:
        yield found
    finally:
        found.context.close()


def step_s(at: Steps, n_sequences: int, n_before: int, repeats: int) -> float:
    """The median of steps in which each sequence gets a token."""
    return statistics.median(
        at.time(*((sequence, 1, n_before + i) for sequence in range(n_sequences))) for i in range(repeats)
    )


def decoding(model: Model, sizes: Sizes) -> Figures:
    """Steps of some sequences with cells of their own."""
    found = {}
    for n in sizes.sequences:
        with steps(model, n_sequences=n, n_ctx=sizes.n_before + sizes.repeats) as at:
            for sequence in range(n):
                at.fill(sequence, sizes.n_before)
            found[str(n)] = step_s(at, n, sizes.n_before, sizes.repeats)
    return found


def layouts(model: Model, sizes: Sizes) -> Figures:
    """Steps of sequences that share the cells, and of such with their own: few tokens, many, and many in common.

    `beside`: to compute a prompt while all others have as many tokens.
    """
    found = {}
    n = max(sizes.sequences)
    for shares_cells, name in ((True, "shared"), (False, "own")):
        for kind, n_sequences, n_before in (
            ("few", n, sizes.n_before),
            ("many", n, sizes.n_common),
            ("common", sizes.n_sharing, sizes.n_common),
        ):
            n_ctx = n_before + sizes.repeats
            with steps(model, n_sequences=n_sequences, n_ctx=n_ctx, shares_cells=shares_cells) as at:
                at.fill(0, n_before)
                _give_all(at.context, n_sequences, in_common=kind == "common")
                found[f"{kind} {name}"] = step_s(at, n_sequences, n_before, sizes.repeats)
                if kind == "many":
                    at.context.forget(n - 1)
                    found[f"beside {name}"] = at.fill(n - 1, n_before)
    return found


def _give_all(context: Context, n_sequences: int, *, in_common: bool) -> None:
    """Let everybody have what the first sequence has: the same cells if they may be shared, or else a copy."""
    blob = None if in_common and context.shares_cells else context.save(0)
    for sequence in range(1, n_sequences):
        if blob is None:
            context.copy(0, sequence)
        else:
            assert context.restore(sequence, blob), "the context has room for all"


def prompts(model: Model, sizes: Sizes) -> Figures:
    """One prompt, in steps of different sizes."""
    found = {}
    with steps(model, n_sequences=1, n_ctx=sizes.n_prompt) as at:
        at.fill(0, sizes.n_prompt)  # not counted: the weights are read, the buffers made
        for chunk in sizes.chunks:
            seconds = []
            for _ in range(max(2, sizes.repeats // 10)):
                at.context.forget(0)
                starts = range(0, sizes.n_prompt, chunk)
                seconds.append(sum(at.time((0, min(chunk, sizes.n_prompt - start), start)) for start in starts))
            found[str(chunk)] = statistics.median(seconds)
    return found


def tails(model: Model, sizes: Sizes) -> Figures:
    """The ends of prompts whose beginnings are there."""
    found = {}
    with steps(model, n_sequences=1, n_ctx=sizes.n_long + max(sizes.tails)) as at:
        for n_before in (sizes.n_common, sizes.n_long):
            at.context.forget(0)
            at.fill(0, n_before)
            for n in sizes.tails:
                seconds = []
                for _ in range(max(2, sizes.repeats // 4)):
                    seconds.append(at.time((0, n, n_before)))
                    at.context.remove(0, n_before)
                found[f"{n} after {n_before}"] = statistics.median(seconds)
    return found


def copies(model: Model, sizes: Sizes) -> Figures:
    """A sequence's state to host memory and back; `bytes` of it."""
    with steps(model, n_sequences=1, n_ctx=sizes.n_copied) as at:
        at.fill(0, sizes.n_copied)
        blob = at.context.save(0)
        assert blob is not None, "a state that can be copied"
        there = [timed(lambda: at.context.save(0)) for _ in range(sizes.repeats)]
        back = [timed(lambda: at.context.restore(0, blob)) for _ in range(sizes.repeats)]
    return {"there": statistics.median(there), "back": statistics.median(back), "bytes": float(len(blob))}


def embeddings(model: Model, sizes: Sizes) -> Figures:
    """Many inputs, in steps of different sizes."""
    source = np.random.default_rng(1)
    inputs = source.integers(FIRST_TOKEN, model.vocab.n_tokens, (sizes.n_inputs, sizes.n_input)).astype(np.int32)
    found = {}
    for n_step in sizes.embedded:
        n_inputs = max(1, n_step // sizes.n_input)
        embedder = Embedder(model, ContextParams(n_step, n_step, n_inputs, default_threads(), embeddings=True))
        embedder.embed(list(inputs[:n_inputs]))  # not counted, as with prompts
        started = time.perf_counter()
        for i in range(0, len(inputs), n_inputs):
            embedder.embed(list(inputs[i : i + n_inputs]))
        found[str(n_step)] = time.perf_counter() - started
        embedder.close()
    return found


KINDS: dict[str, Callable[[Model, Sizes], Figures]] = {
    "decoding": decoding,
    "layouts": layouts,
    "prompts": prompts,
    "tails": tails,
    "copies": copies,
    "embeddings": embeddings,
}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.decodes")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    args = parser.parse_args(argv)
    with loaded(args.file, on_gpu=args.gpu) as model:
        print(json.dumps(KINDS[args.kind](model, QUICK if args.quick else Sizes())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
