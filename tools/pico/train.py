"""Trains pico from scratch and writes the GGUF; see README.md for how to run it.

The same settings give the same file on the same machine: every random choice has a fixed seed, the data order does not
depend on timing, and the number of threads is a setting (another number may change the last bits of a sum).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.pico import tokenizer
from tools.pico.dataset import Encoded, Mixture, Renderer, encode
from tools.pico.export import write_gguf
from tools.pico.network import Network, Shape

WORK = Path(__file__).with_name(".work")
N_CTX = 4096


@dataclass(frozen=True, slots=True)
class Round:
    """One pass of the schedule, with fresh optimizers and examples of its own."""

    tokens: int
    rate: float  # factor of the rates below
    easy_until: float  # parts of the round: bare questions only until here,
    full_from: float  # and everything from here on


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run depends on."""

    rounds: tuple[Round, ...] = (
        Round(7_000_000, rate=1.0, easy_until=0.15, full_from=0.45),
        Round(4_500_000, rate=0.5, easy_until=0.0, full_from=0.0),
        Round(4_500_000, rate=0.5, easy_until=0.0, full_from=1.0),
    )
    batch_tokens: int = 2048
    pool: int = 1024  # examples that are sorted by length together
    matrix_rate: float = 0.02
    embedding_rate: float = 0.03
    output_rate: float = 0.004
    warmup_steps: int = 40
    full_steps: int = 180  # so long the rates are full; then they fall with the root of the steps,
    decay_share: float = 0.4  # and in the last part of the round to zero
    seed: int = 2026
    threads: int = 2
    n_tokens: int = 1792
    n_spaced: int = 512


def train_tokenizer(settings: Settings) -> tokenizer.Tokenizer:
    mixture, renderer = Mixture(settings.seed + 1), Renderer()
    examples = [mixture.example() for _ in range(12_000)]
    texts = [renderer.prompt(e) + e.given + renderer.answer(e) for e in examples]
    prose = [renderer.answer(e) for e in examples if not e.tools]
    return tokenizer.train(texts, prose, n_tokens=settings.n_tokens, n_spaced=settings.n_spaced)


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded rows: tokens and positions (rows, length), and the places whose next token is learned."""

    tokens: Tensor
    positions: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor


def batches(settings: Settings, part: Round, seed: int, bpe: tokenizer.Tokenizer) -> Iterator[Batch]:
    """Batches of rows of similar length, without end; the examples become harder while they are drawn."""
    mixture, renderer, rng = Mixture(seed), Renderer(), Random(seed)
    n_drawn = 0
    while True:
        difficulty = _difficulty(part, n_drawn / part.tokens)
        examples = [mixture.example(difficulty) for _ in range(settings.pool)]
        pool = [encode(example, renderer, bpe, rng, n_ctx=N_CTX) for example in examples]
        n_drawn += sum(len(encoded.tokens) for encoded in pool)
        pool.sort(key=lambda encoded: len(encoded.tokens))
        groups: list[list[Encoded]] = [[]]
        for encoded in pool:
            if (len(groups[-1]) + 1) * len(encoded.tokens) > settings.batch_tokens and groups[-1]:
                groups.append([])
            groups[-1].append(encoded)
        rng.shuffle(groups)
        yield from map(collate, groups)


def _difficulty(part: Round, progress: float) -> float:
    if progress >= part.full_from:
        return 1.0
    return max(0.0, (progress - part.easy_until) / (part.full_from - part.easy_until))


def collate(group: list[Encoded]) -> Batch:
    length = max(len(encoded.tokens) for encoded in group)
    tokens = torch.zeros(len(group), length, dtype=torch.long)
    positions = torch.zeros(len(group), length, dtype=torch.long)
    learned = torch.zeros(len(group), length, dtype=torch.bool)
    for i, encoded in enumerate(group):
        tokens[i, : len(encoded.tokens)] = torch.tensor(encoded.tokens)
        positions[i, : len(encoded.tokens)] = torch.tensor(encoded.positions)
        learned[i, : len(encoded.learned)] = torch.tensor(encoded.learned)
    rows, columns = learned.nonzero(as_tuple=True)
    return Batch(tokens, positions, rows, columns - 1, tokens[rows, columns])


class Optimizers:
    """Muon for the matrices inside the blocks, Adam for embedding, output and norms, one schedule for all."""

    def __init__(self, network: Network, settings: Settings, part: Round) -> None:
        matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
        norms = [p for p in network.parameters() if p.ndim == 1]
        others = [
            {"params": [network.token_embd.weight], "lr": settings.embedding_rate},
            {"params": [network.output.weight, *norms], "lr": settings.output_rate},
        ]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=settings.matrix_rate, momentum=0.95, weight_decay=0.01),
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        )
        self.rates = [[part.rate * group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.settings, self.n_steps = settings, part.tokens // settings.batch_tokens

    def step(self, n: int) -> None:
        scale = self._scale(n)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad()

    def _scale(self, n: int) -> float:
        """Warm-up, full, inverse square root, then down to zero: batches are small and their gradients noisy."""
        settings = self.settings
        rising = (n + 1) / settings.warmup_steps
        falling = math.sqrt(settings.full_steps / max(n, settings.full_steps))
        ending = (self.n_steps - n) / (self.n_steps * settings.decay_share)
        return min(rising, falling) * min(1.0, ending)


def loss_of(network: Network, batch: Batch) -> Tensor:
    """Mean cross entropy over the learned tokens; the matrices are multiplied in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = network(batch.tokens, batch.positions)[batch.rows, batch.columns]
        logits = network.output(hidden)
    return F.cross_entropy(logits.float(), batch.targets)


def train_round(network: Network, settings: Settings, part: Round, seed: int, bpe: tokenizer.Tokenizer) -> None:
    """Train the network in place."""
    optimizers = Optimizers(network, settings, part)
    started, mean = time.monotonic(), 0.0
    for n, batch in zip(range(optimizers.n_steps), batches(settings, part, seed, bpe), strict=False):
        loss = loss_of(network, batch)
        loss.backward()
        optimizers.step(n)
        mean += (float(loss.detach()) - mean) / min(n + 1, 50)
        if n % 50 == 0 or n == optimizers.n_steps - 1:
            print(f"step {n:5}/{optimizers.n_steps}  loss {mean:.4f}  {time.monotonic() - started:6.0f} s", flush=True)


def main() -> None:
    settings = Settings()
    parser = argparse.ArgumentParser(description="Train pico and write its GGUF.")
    parser.add_argument("--threads", type=int, default=settings.threads, help="of PyTorch (default %(default)s)")
    parser.add_argument("--output", type=Path, default=WORK / "pico.gguf", help="file to write (default %(default)s)")
    parser.add_argument("--from-round", type=int, default=1, help="continue after the rounds before this one")
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    bpe = train_tokenizer(settings)
    network = Network(Shape(n_vocab=len(bpe.tokens)))
    if args.from_round > 1:
        network.load_state_dict(torch.load(WORK / f"round-{args.from_round - 1}.pt"))
    for number, part in enumerate(settings.rounds, start=1):
        if number >= args.from_round:
            print(f"round {number}")
            train_round(network, settings, part, settings.seed + 100 * (number - 1), bpe)
            torch.save(network.state_dict(), WORK / f"round-{number}.pt")
    write_gguf(args.output, network, bpe, n_ctx=N_CTX)
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
