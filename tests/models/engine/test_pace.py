"""How many prompt tokens fit a step."""

from __future__ import annotations

import itertools

import pytest

from models.engine.pace import ALONE_S, BESIDE_DECODING_S, Pace


def learned(token_s: float, cell_s: float = 0.0, decode_s: float = 0.0) -> Pace:
    """A pace that has seen a prompt of 4,000 tokens on a machine that takes so long for each, and each cell before."""
    pace = Pace()
    for _ in range(30):
        pace.measure_decode(decode_s)
    for n_before in range(0, 4000, 128):
        pace.measure_prompts([(128, n_before)], 128 * (token_s + cell_s * (n_before + 64)), beside_decoding=False)
    return pace


def fits(
    pace: Pace, n_before: int = 0, *, beside_decoding: bool = True, n_batch: int = 512, n_left: int = 100_000
) -> int:
    return pace.n_prefill(n_batch, n_before=n_before, n_left=n_left, beside_decoding=beside_decoding)


def test_the_first_prefill_is_small() -> None:
    assert fits(Pace()) == 64 and fits(Pace(), n_batch=32) == 32


def test_a_step_that_decodes_for_others_stays_within_its_time() -> None:
    assert fits(learned(0.0009)) == 192
    assert fits(learned(0.0009, decode_s=0.05)) == 128
    assert fits(learned(0.00215), beside_decoding=False) == 448


def test_whole_tiles_are_computed_or_few_tokens() -> None:
    sizes = {fits(learned(token_s)) for token_s in (0.00045, 0.0009, 0.002, 0.003, 0.0036, 0.005, 0.007, 0.1)}
    assert sizes == {384, 192, 64, 48, 32, 24, 16}


@pytest.mark.parametrize(("n_left", "n"), [(448, 448), (460, 460), (511, 511), (512, 448), (100, 448)])
def test_alone_no_part_of_a_tile_is_left_over(n_left: int, n: int) -> None:
    assert fits(learned(0.00215), beside_decoding=False, n_left=n_left) == n


@pytest.mark.parametrize("token_s", [0.0155, 0.02, 0.041])
def test_nor_does_that_stretch_the_step_of_a_slow_machine(token_s: float) -> None:
    assert all(
        fits(learned(token_s), beside_decoding=False, n_left=n) * token_s < 1.25 * (ALONE_S + 0.02)
        for n in range(17, 200)
    )


def test_beside_others_a_part_of_a_tile_waits() -> None:
    assert fits(learned(0.0009), n_left=200) == 192


def test_the_more_tokens_are_before_the_fewer_fit() -> None:
    pace = learned(0.001, 1e-6, decode_s=0.02)
    sizes = [fits(pace, n_before) for n_before in range(0, 4000, 500)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 128 and sizes[-1] < 64
    for n_before, n in itertools.product((0, 1000, 2000), (128, 64)):
        if fits(pace, n_before) == n:
            assert n * (0.001 + 1e-6 * (n_before + n / 2)) <= BESIDE_DECODING_S - 0.02 + 0.02 * (n == 64)


def test_a_short_prompt_after_a_long_one_is_not_slowed_down() -> None:
    assert fits(learned(0.001, 1e-6), 0) >= 128


def test_nor_is_it_expected_to_take_less_than_any_ever_did() -> None:
    pace = learned(0.001)
    for n_before in range(
        1000, 1700, 64
    ):  # a machine that became slower meanwhile: a steep line, near 0 at its beginning
        pace.measure_prompts([(64, n_before)], 64 * 2e-6 * n_before, beside_decoding=True)
    assert fits(pace, 0) <= BESIDE_DECODING_S / 0.001


def test_few_tokens_far_from_the_beginning_are_expected_to_take_twice_as_long_each() -> None:
    pace = learned(0.001, 1e-6)
    assert fits(pace, 4000) == 16 < BESIDE_DECODING_S / 0.005


def test_a_prompt_goes_on_however_slow_the_machine_is() -> None:
    assert fits(learned(1.0)) == fits(learned(1.0), beside_decoding=False) == 16


def beside_decoding(pace: Pace, fixed_s: float, token_s: float) -> list[int]:
    """The sizes of sixty steps that take so long, and so much more for each token."""
    sizes = []
    for _ in range(60):
        sizes.append(n := fits(pace, 500))
        pace.measure_prompts([(n, 500)], fixed_s + n * token_s, beside_decoding=False)
    return sizes


@pytest.mark.parametrize("token_s", [0.001, 0.02])
def test_where_any_step_takes_long_it_computes_more(token_s: float) -> None:
    sizes = beside_decoding(learned(token_s), 0.24, 0.003)  # the machine does something else, too
    assert sizes[-10:] == [64] * 10
    assert all(0.24 + n * 0.003 <= 0.63 for n in sizes)


def test_but_not_when_the_machine_has_time_again() -> None:
    pace = learned(0.001)
    beside_decoding(pace, 0.24, 0.003)
    sizes = beside_decoding(pace, 0.005, 0.001)
    assert set(sizes) == {64, 128} and sizes[-1] == 128


@pytest.mark.parametrize("token_s", [0.0113, 0.012, 0.0168])
def test_where_few_tokens_just_miss_the_budget_it_computes_the_fewest(token_s: float) -> None:
    assert fits(learned(token_s)) == 16


def test_a_fast_machine_fills_the_batch() -> None:
    assert fits(learned(1e-6)) == 512 and fits(learned(1e-6), n_batch=2048) == 2048


def test_what_decoding_takes_is_not_charged_to_the_prompt() -> None:
    pace = learned(0.001, decode_s=0.05)
    for _ in range(50):
        pace.measure_prompts([(64, 0)], 0.05 + 64 * 0.001, beside_decoding=True)
    assert pace.token_s == pytest.approx(0.001, rel=0.05)


def test_a_machine_that_becomes_slower_is_noticed() -> None:
    pace = learned(0.001)
    for _ in range(30):
        pace.measure_prompts([(64, 100)], 64 * 0.01, beside_decoding=False)
    assert fits(pace, 100, beside_decoding=False) == 64 <= ALONE_S / 0.01
