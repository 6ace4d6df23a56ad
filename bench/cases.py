"""The cases: one row each. A new question to ask of both servers is a new row."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from enum import Enum

from bench.random_model import SMOL, Shape
from bench.servers import Ask


class Measure(Enum):
    """What decides a case; the value is its unit."""

    TOKENS_PER_S = "tok/s"  # generated tokens of all streams by the time until the last one ends: more is better
    DURATION = "s"  # from the first request to the last byte: less is better


class Prompts(Enum):
    """How the prompts of one round resemble each other. Rounds never share any."""

    DISTINCT = "distinct"
    SHARED = "shared"  # all but the last 16 tokens


@dataclass(frozen=True)
class Case:
    """`n_streams` requests at once, of `n_prompt` tokens each, for exactly `n_predict` tokens each.

    `goal` is the least ratio Puna / peer (for durations: peer / Puna) that the project promises; None: no promise.
    """

    name: str
    n_streams: int
    n_prompt: int
    n_predict: int
    prompts: Prompts = Prompts.DISTINCT
    measure: Measure = Measure.TOKENS_PER_S
    n_parallel: int | None = None  # slots of the servers; default: one for each stream
    n_ctx: int = 2048  # of each slot
    shape: Shape = SMOL
    goal: float | None = None

    @property
    def slots(self) -> int:
        return self.n_parallel or self.n_streams


CASES = {
    case.name: case
    for case in (
        Case("one-stream", n_streams=1, n_prompt=32, n_predict=256, goal=0.95),
        Case("eight-streams", n_streams=8, n_prompt=32, n_predict=64, goal=0.9),
    )
}
SHARED_TAIL = 16


def asks(case: Case, round_number: int) -> list[Ask]:
    """The requests of one round: the same for every server, different in every round."""
    rng = random.Random(f"{case.name} {round_number}")

    def letters(n: int) -> str:
        return "".join(rng.choices(string.ascii_lowercase, k=n))  # one token each: see random_model

    shared = letters(case.n_prompt - SHARED_TAIL) if case.prompts is Prompts.SHARED else ""
    prompts = [shared + letters(case.n_prompt - len(shared)) for _ in range(case.n_streams)]
    return [Ask(prompt, case.n_predict, seed) for seed, prompt in enumerate(prompts, 1)]
