"""The cases: one row each. A new question to ask of both servers is a new row."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from bench.random_model import EMBED, LLAMA_1B, LLAMA_8B, SMOL, TINY_8B, Shape
from bench.servers import Ask, Loading


class Measure(Enum):
    """What decides a case; the value is its unit."""

    TOKENS_PER_S = "tok/s"  # generated tokens of all streams by the time until the last one ends: more is better
    DURATION = "s"  # from the first request to the last byte
    FIRST_TOKEN = "s to first token"
    WORST_GAP = "s worst gap"  # between two tokens of any stream, while a long prompt is computed
    MEMORY = "MB"  # of the process that computes, beyond weights and KV cache

    @property
    def more_is_better(self) -> bool:
        return self is Measure.TOKENS_PER_S


class Work(Enum):
    """What is done in a round; see workloads.py."""

    BURST = "all requests at once"
    CHAT = "turns of one conversation, one after the other"
    ARRIVAL = "a long prompt arrives while the others decode"
    EMBED = "one request with many inputs"


class Prompts(Enum):
    """How the prompts of one round resemble each other. Rounds never share any."""

    DISTINCT = "distinct"
    SHARED = "shared"  # all but the last 16 tokens


class Against(Enum):
    PEER = "llama-server"
    FREE_TEXT = "puna without a schema"


@dataclass(frozen=True)
class Case:
    """`n_streams` requests at once, of `n_prompt` tokens each, for exactly `n_predict` tokens each.

    `goal` is the least ratio Puna / other (for what should be small: other / Puna) that the project promises, `most`
    the largest value of Puna's own; None: no promise.
    """

    name: str
    n_streams: int
    n_prompt: int
    n_predict: int
    work: Work = Work.BURST
    prompts: Prompts = Prompts.DISTINCT
    measure: Measure = Measure.TOKENS_PER_S
    against: Against = Against.PEER
    n_parallel: int | None = None  # slots of the servers; default: one for each stream
    n_ctx: int = 2048  # of each slot
    shape: Shape = SMOL
    has_schema: bool = False
    is_unrestricted: bool = False  # samples from the whole vocabulary, as OpenAI's clients ask for
    n_turns: int = 10
    n_long: int = 4000  # tokens of the prompt that arrives
    n_threads: int | None = None  # default: what each server takes by itself
    on_gpu: bool = False  # all layers of the model
    goal: float | None = None
    most: float | None = None

    @property
    def slots(self) -> int:
        return self.n_parallel or self.n_streams

    @property
    def loading(self) -> Loading:
        embeds = self.work is Work.EMBED
        return Loading(self.slots, self.n_ctx, n_threads=self.n_threads, embeds=embeds, on_gpu=self.on_gpu)

    def quick(self) -> Case:
        """The same in small, to see that it works; its figures mean nothing, so it promises nothing."""
        return replace(
            self,
            n_streams=min(self.n_streams, 3),
            n_prompt=min(self.n_prompt, 40),
            n_predict=min(self.n_predict, 8),
            n_parallel=min(self.n_parallel, 4) if self.n_parallel else None,
            n_ctx=1024,
            shape={LLAMA_1B: SMOL, LLAMA_8B: TINY_8B}.get(self.shape, self.shape),
            n_turns=3,
            n_long=300,
            n_threads=1,  # which does not suffer from a busy machine as much
            goal=None,
            most=None,
        )


CASES = {
    case.name: case
    for case in (
        Case("one-stream", n_streams=1, n_prompt=32, n_predict=256, goal=1.0),
        Case("one-stream-1b", n_streams=1, n_prompt=32, n_predict=64, shape=LLAMA_1B, goal=1.0),
        Case("eight-streams", n_streams=8, n_prompt=32, n_predict=64, goal=1.1),
        Case("thirty-two-streams", n_streams=32, n_prompt=32, n_predict=32, n_ctx=512, goal=1.2),
        Case("eight-long", n_streams=8, n_prompt=1000, n_predict=16, measure=Measure.DURATION, goal=1.0),
        Case(
            "eight-shared", n_streams=8, n_prompt=1000, n_predict=16, prompts=Prompts.SHARED,
            measure=Measure.DURATION, goal=6.0,
        ),
        Case(
            "thirty-two-shared", n_streams=32, n_prompt=1000, n_predict=16, prompts=Prompts.SHARED, n_ctx=1280,
            measure=Measure.DURATION, goal=12.0,
        ),
        Case(
            "chat", n_streams=1, n_prompt=100, n_predict=32, work=Work.CHAT, measure=Measure.FIRST_TOKEN,
            n_parallel=2, n_ctx=4096, goal=1.0,
        ),
        Case(
            "long-arrival", n_streams=4, n_prompt=32, n_predict=256, work=Work.ARRIVAL, measure=Measure.WORST_GAP,
            n_parallel=5, n_ctx=8192, most=0.25,
        ),
        Case("json-schema", n_streams=4, n_prompt=32, n_predict=128, has_schema=True, goal=1.2),
        Case(
            "json-schema-own", n_streams=4, n_prompt=32, n_predict=128, has_schema=True, against=Against.FREE_TEXT,
            goal=0.97,
        ),
        Case(
            "whole-vocabulary", n_streams=8, n_prompt=32, n_predict=32, shape=LLAMA_1B, is_unrestricted=True, goal=1.5
        ),
        Case(
            "embeddings", n_streams=256, n_prompt=32, n_predict=0, work=Work.EMBED, measure=Measure.DURATION,
            n_parallel=32, n_ctx=512, shape=EMBED,
        ),
        Case("memory", n_streams=4, n_prompt=32, n_predict=16, measure=Measure.MEMORY, n_ctx=4096, most=150.0),
    )
}  # fmt: skip
SHARED_TAIL = 16


def on_gpu(name: str, *, as_name: str = "", **changes: Any) -> Case:
    """A case of the processor's, with the 8B model on a GPU. What it promises of itself alone it does not there."""
    case = CASES[name]
    shape = case.shape if case.work is Work.EMBED else LLAMA_8B
    return replace(case, name=as_name or name, shape=shape, on_gpu=True, most=None, **changes)


GPU_CASES = {
    case.name: case
    for case in (
        on_gpu("one-stream"),
        on_gpu("eight-streams", n_predict=256),
        on_gpu("thirty-two-streams", n_predict=256),
        on_gpu("thirty-two-streams", as_name="sixty-four-streams", n_streams=64, n_predict=256, goal=None),
        on_gpu("eight-long", n_predict=64),
        on_gpu("eight-shared", n_predict=64),
        on_gpu("thirty-two-shared", n_predict=64),
        on_gpu("chat", n_predict=64),
        on_gpu("long-arrival", n_predict=512),
        on_gpu("json-schema", n_predict=256),
        on_gpu("json-schema-own", n_predict=256),
        on_gpu("whole-vocabulary", n_predict=256),
        on_gpu("embeddings"),
    )
}
"""More tokens than on a processor, as there a round would be over at once. No `memory`: what a process has on the host
says nothing there."""


def asks(case: Case, round_number: int) -> list[Ask]:
    """The requests of one round: the same for every server, different in every round."""
    rng = random.Random(f"{case.name} {round_number}")
    shared = letters(rng, case.n_prompt - SHARED_TAIL) if case.prompts is Prompts.SHARED else ""
    prompts = [shared + letters(rng, case.n_prompt - len(shared)) for _ in range(case.n_streams)]
    return [ask(case, prompt, seed) for seed, prompt in enumerate(prompts, 1)]


def ask(case: Case, prompt: str, seed: int) -> Ask:
    return Ask(prompt, case.n_predict, seed, has_schema=case.has_schema, is_unrestricted=case.is_unrestricted)


def letters(rng: random.Random, n: int) -> str:
    """A text of n tokens, see random_model.py."""
    return "".join(rng.choices(string.ascii_lowercase, k=n))
