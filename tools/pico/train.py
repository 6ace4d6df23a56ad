"""Trains pico from scratch and writes the GGUF; see README.md for how to run it.

The same settings give the same file on the same machine: every random choice has a fixed seed, the data order does not
depend on timing, and the number of threads is a setting (another number may change the last bits of a sum).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
class Stage:
    """A part of the run with fresh optimizers: rates rise, stay full, fall with the root of the steps, end at zero."""

    n_steps: int
    zero_at: int  # the step at which the rates would be zero; a stage may end before
    rate: float  # factor of the rates in Settings
    full_steps: int
    decay_share: float  # of the steps up to zero_at: the part in which the rates fall to zero
    often: float  # share of the topics that are drawn from those that newcomers ask about most


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run depends on."""

    stages: tuple[Stage, ...] = (
        Stage(n_steps=7000, zero_at=7568, rate=1.0, full_steps=300, decay_share=0.45, often=0.0),
        Stage(n_steps=2400, zero_at=2400, rate=0.35, full_steps=2400, decay_share=1.0, often=0.3),
    )
    batch_tokens: int = 2048
    pool: int = 1024  # examples that are sorted by length together
    matrix_rate: float = 0.02
    embedding_rate: float = 0.03
    output_rate: float = 0.004
    warmup_steps: int = 40
    seed: int = 2026
    threads: int = 1
    n_tokens: int = 2560
    n_spaced: int = 900


def train_tokenizer(settings: Settings) -> tokenizer.Tokenizer:
    """Mostly on questions that pico knows: a word that is one token can mean something before the first layer."""
    mixture, renderer = Mixture(settings.seed + 1), Renderer()
    known = [mixture.known() for _ in range(40_000)]
    texts = [example.question for example in known]
    for _ in range(3_000):
        example = mixture.example()
        texts.append(renderer.prompt(example) + example.given + renderer.answer(example))
    prose = [text for example in known for text in (example.question, example.answer)]
    return tokenizer.train(texts, prose, n_tokens=settings.n_tokens, n_spaced=settings.n_spaced)


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded rows: tokens and positions (rows, length), and the places whose next token is learned."""

    tokens: Tensor
    positions: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor


def batches(settings: Settings, stage: Stage, seed: int, bpe: tokenizer.Tokenizer) -> Iterator[Batch]:
    """Batches of rows of similar length, without end."""
    mixture, renderer, rng = Mixture(seed, often=stage.often), Renderer(), Random(seed)
    while True:
        examples = [mixture.example() for _ in range(settings.pool)]
        pool = [encode(example, renderer, bpe, rng, n_ctx=N_CTX) for example in examples]
        pool.sort(key=lambda encoded: len(encoded.tokens))
        groups: list[list[Encoded]] = [[]]
        for encoded in pool:
            if (len(groups[-1]) + 1) * len(encoded.tokens) > settings.batch_tokens and groups[-1]:
                groups.append([])
            groups[-1].append(encoded)
        rng.shuffle(groups)
        yield from map(collate, groups)


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

    def __init__(self, network: Network, settings: Settings, stage: Stage) -> None:
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
        self.rates = [[stage.rate * group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self._warmup_steps, self._stage = settings.warmup_steps, stage

    def step(self, n: int) -> None:
        scale = self._scale(n)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad()

    def _scale(self, n: int) -> float:
        """Between 0 and 1. Batches are small and their gradients noisy: most of the run is on the way down."""
        stage = self._stage
        rising = (n + 1) / self._warmup_steps
        falling = math.sqrt(stage.full_steps / max(n, stage.full_steps))
        ending = (stage.zero_at - n) / (stage.zero_at * stage.decay_share)
        return min(rising, falling) * min(1.0, ending)


def loss_of(network: Network, batch: Batch) -> Tensor:
    """Mean cross entropy over the learned tokens; the matrices are multiplied in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = network(batch.tokens, batch.positions)[batch.rows, batch.columns]
        logits = network.output(hidden)
    return F.cross_entropy(logits.float(), batch.targets)


def train(network: Network, settings: Settings, stage: Stage, seed: int, bpe: tokenizer.Tokenizer) -> None:
    """Train the network in place."""
    optimizers = Optimizers(network, settings, stage)
    started, mean = time.monotonic(), 0.0
    for n, batch in zip(range(stage.n_steps), batches(settings, stage, seed, bpe), strict=False):
        loss = loss_of(network, batch)
        loss.backward()
        optimizers.step(n)
        mean += (float(loss.detach()) - mean) / min(n + 1, 50)
        if n % 50 == 0 or n == stage.n_steps - 1:
            print(f"step {n:5}/{stage.n_steps}  loss {mean:.4f}  {time.monotonic() - started:6.0f} s", flush=True)


def main() -> None:
    settings = Settings()
    parser = argparse.ArgumentParser(description="Train pico and write its GGUF.")
    parser.add_argument("--threads", type=int, default=settings.threads, help="of PyTorch (default %(default)s)")
    parser.add_argument("--output", type=Path, default=WORK / "pico.gguf", help="file to write (default %(default)s)")
    parser.add_argument("--steps", type=int, help="end each stage after so many steps, to try the script out")
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    bpe = train_tokenizer(settings)
    network = Network(Shape(n_vocab=len(bpe.tokens)))
    for i, stage in enumerate(settings.stages):
        stage = replace(stage, n_steps=min(stage.n_steps, args.steps or stage.n_steps))
        train(network, settings, stage, settings.seed + 100 * i, bpe)
        torch.save(network.state_dict(), WORK / f"stage-{i + 1}.pt")
    write_gguf(args.output, network, bpe, n_ctx=N_CTX)
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
