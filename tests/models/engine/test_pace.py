"""How many prompt tokens fit a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from models.engine.pace import ALONE_S, BESIDE_DECODING_S, Pace


@dataclass(frozen=True)
class Machine:
    """What steps take: any step `fixed_s`, and more for each prompt token, and for each token before it."""

    token_s: float
    cell_s: float = 0.0
    fixed_s: float = 0.0
    decode_s: float = 0.0
    n_tiled: int = 0
    """With fewer tokens than these, those before them cost twice as much."""

    def step_s(self, n: int, n_before: int) -> float:
        cell_s = self.cell_s * (2 if n < self.n_tiled else 1)
        return self.fixed_s + n * (self.token_s + cell_s * (n_before + n / 2))

    def compute(
        self, pace: Pace, n_prompt: int, *, beside_decoding: bool, n_batch: int = 512
    ) -> list[tuple[int, float]]:
        """A prompt, as long as it lasts: tokens and seconds of each step, with those of decoding for others."""
        steps = []
        n_before = 0
        while n_before < n_prompt:
            n = min(fits(pace, n_before, beside_decoding=beside_decoding, n_batch=n_batch), n_prompt - n_before)
            pace.measure_prompts([(n, n_before)], self.step_s(n, n_before))
            if beside_decoding:
                pace.measure_decode(self.decode_s)
            steps.append((n, self.step_s(n, n_before) + self.decode_s * beside_decoding))
            n_before += n
        return steps


def decoding(machine: Machine) -> Pace:
    """A pace that has seen everybody decode."""
    pace = Pace()
    for _ in range(30):
        pace.measure_decode(machine.decode_s)
    return pace


def learned(machine: Machine) -> Pace:
    """A pace that has also seen a prompt of 4,000 tokens."""
    pace = decoding(machine)
    machine.compute(pace, 4000, beside_decoding=False)
    return pace


def fits(pace: Pace, n_before: int = 0, *, beside_decoding: bool = True, n_batch: int = 512) -> int:
    return pace.n_prefill(n_batch, n_before=n_before, beside_decoding=beside_decoding)


KERNELS = Machine(0.00025, 2.4e-7, fixed_s=0.005, decode_s=0.006)
"""A model of 135M on two cores, computed by Puna's kernels."""
NO_KERNELS = Machine(0.0009, 0.9e-6, fixed_s=0.005, decode_s=0.01, n_tiled=64)
"""The same, computed by llama.cpp alone."""
LARGE = Machine(0.016, 1e-6, fixed_s=0.16, decode_s=0.18)
"""A model of 8B on those."""


def test_the_first_prefill_is_small() -> None:
    assert fits(Pace()) == 64 and fits(Pace(), n_batch=32) == 32


@pytest.mark.parametrize("machine", [KERNELS, NO_KERNELS])
@pytest.mark.parametrize("before", [decoding, learned])
def test_those_who_decode_hardly_wait_longer_than_they_may(machine: Machine, before: Callable[[Machine], Pace]) -> None:
    took = [s for _, s in machine.compute(before(machine), 4000, beside_decoding=True)]
    assert max(took) <= 0.24 and sum(took) / len(took) <= BESIDE_DECODING_S


def test_nor_are_steps_much_shorter() -> None:
    took = [s for _, s in KERNELS.compute(learned(KERNELS), 4000, beside_decoding=True)]
    assert min(took[:-1]) >= 0.75 * BESIDE_DECODING_S


def test_alone_a_step_takes_up_to_a_second() -> None:
    took = [s for _, s in LARGE.compute(learned(LARGE), 1000, beside_decoding=False)]
    assert 0.7 * ALONE_S < min(took[:-1]) <= max(took) <= ALONE_S


@pytest.mark.parametrize("machine", [KERNELS, NO_KERNELS, LARGE])
def test_steps_are_multiples_of_sixteen(machine: Machine) -> None:
    sizes = [n for n, _ in machine.compute(learned(machine), 4000, beside_decoding=True)]
    assert all(n % 16 == 0 for n in sizes) and min(sizes) >= 16


def test_the_more_tokens_are_before_the_fewer_fit() -> None:
    pace = learned(Machine(0.001, 1e-6, decode_s=0.02))
    sizes = [fits(pace, n_before) for n_before in range(0, 4000, 500)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] >= 3 * sizes[-1]


def test_a_short_prompt_after_a_long_one_is_not_slowed_down() -> None:
    pace = learned(KERNELS)
    KERNELS.compute(pace, 4000, beside_decoding=True)
    assert fits(pace, 0) >= 384


def test_nor_is_it_expected_to_take_less_than_any_ever_did() -> None:
    pace = learned(Machine(0.001))
    for n_before in range(1000, 1700, 64):  # it became slower meanwhile: a steep line, near 0 at its beginning
        pace.measure_prompts([(64, n_before)], 64 * 2e-6 * n_before)
    assert fits(pace, 0) <= BESIDE_DECODING_S / 0.001


@pytest.mark.parametrize("token_s", [0.0113, 0.0168, 1.0])
def test_a_prompt_goes_on_however_slow_the_machine_is(token_s: float) -> None:
    pace = learned(Machine(token_s))
    assert fits(pace) == 16 and fits(learned(Machine(1.0)), beside_decoding=False) == 16


@pytest.mark.parametrize("decode_s", [0.18, 0.3, 1.0])
def test_where_decoding_takes_all_the_time_prompts_get_as_much(decode_s: float) -> None:
    machine = Machine(0.002, fixed_s=decode_s, decode_s=decode_s)  # something else uses the processor, too
    sizes = [n for n, _ in machine.compute(learned(machine), 4000, beside_decoding=True)]
    assert all(0.6 * decode_s < n * 0.002 <= decode_s for n in sizes[:-1])


def test_but_not_when_the_machine_has_time_again() -> None:
    pace = learned(Machine(0.002, fixed_s=0.3, decode_s=0.3))
    took = [s for _, s in KERNELS.compute(pace, 8000, beside_decoding=True)]
    assert max(took[len(took) // 2 :]) <= 0.21


def test_a_fast_machine_fills_the_batch() -> None:
    pace = learned(Machine(1e-7))
    assert fits(pace) == 512 and fits(pace, n_batch=2048) == 2048 and fits(pace, n_batch=8) == 8


def test_what_any_step_takes_is_not_charged_to_the_tokens() -> None:
    assert learned(Machine(0.001, fixed_s=0.05, decode_s=0.05)).token_s == pytest.approx(0.001, rel=0.05)


def test_where_many_decode_a_step_without_them_is_not_expected_to_take_nothing() -> None:
    pace = learned(Machine(0.001, decode_s=1.0))
    assert (pace.token_s or 0.0) >= 0.0005


def test_a_machine_that_becomes_slower_is_noticed() -> None:
    pace = learned(Machine(0.001))
    for _ in range(30):
        pace.measure_prompts([(64, 100)], 64 * 0.01)
    assert fits(pace, 100, beside_decoding=False) == 96 <= ALONE_S / 0.01


def test_a_clock_that_did_not_move_says_nothing() -> None:
    pace = Pace()
    pace.measure_prompts([(64, 0)], 0.0)
    assert pace.token_s is None
