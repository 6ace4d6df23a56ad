"""How many prompt tokens fit a step."""

from __future__ import annotations

from models.engine.pace import Pace


def test_the_first_prefill_is_small() -> None:
    assert Pace().n_prefill(0, 512) == 64


def test_a_step_that_decodes_for_others_stays_within_its_time() -> None:
    pace = Pace()
    for _ in range(20):
        pace.measure(4, 0, 0.02)  # decoding alone takes 20 ms
        pace.measure(0, 100, 0.4)  # 4 ms a prompt token
    assert 19 <= pace.n_prefill(4, 512) <= 21  # (100 - 20) / 4


def test_a_budget_that_is_nearly_enough_for_a_tile_is_stretched() -> None:
    pace = Pace()
    pace.measure(0, 100, 0.2)  # 50 tokens in 100 ms
    assert pace.n_prefill(4, 512) == 64
    pace = Pace()
    pace.measure(0, 100, 0.3)  # 33
    assert pace.n_prefill(4, 512) == 33


def test_a_prefill_alone_may_take_longer() -> None:
    pace = Pace()
    pace.measure(0, 100, 0.2)
    assert pace.n_prefill(0, 512) == 250


def test_a_prompt_goes_on_however_slow_the_machine_is() -> None:
    pace = Pace()
    pace.measure(0, 100, 100.0)
    assert pace.n_prefill(0, 512) == pace.n_prefill(8, 512) == 16


def test_a_fast_machine_fills_the_batch() -> None:
    pace = Pace()
    pace.measure(0, 512, 0.01)
    assert pace.n_prefill(3, 512) == 512


def test_what_decoding_takes_is_not_charged_to_the_prompt() -> None:
    pace = Pace()
    for _ in range(30):
        pace.measure(2, 0, 0.05)
    for _ in range(30):
        pace.measure(2, 40, 0.13)
    assert 240 <= pace.n_prefill(0, 512) <= 260  # 2 ms a token
