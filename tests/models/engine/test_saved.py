"""What is kept in host memory, and when it pays."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.saved import SavedState, SavedStates

MIB = 1 << 20


def state(n_tokens: int, n_bytes: int) -> SavedState:
    return SavedState(np.zeros(n_tokens, np.int32), np.zeros(n_bytes - 4 * n_tokens, np.uint8), 0)


def test_the_one_used_longest_ago_goes_when_bytes_run_out() -> None:
    saved = SavedStates(1000)
    first, second, third = state(10, 400), state(10, 400), state(10, 400)
    assert saved.add(first) == [] and saved.add(second) == []
    saved.touch(first)
    assert saved.add(third) == [second]
    assert (len(saved), saved.size_bytes) == (2, 800)


def test_several_go_for_one_that_is_large() -> None:
    saved = SavedStates(1000)
    small = [state(10, 300) for _ in range(3)]
    for one in small:
        saved.add(one)
    assert saved.add(state(10, 900)) == small


@pytest.mark.parametrize(
    ("limit", "n_tokens", "n_bytes", "token_s", "is_worth"),
    [
        pytest.param(10 * MIB, 1000, MIB, 1e-3, True, id="a second against some milliseconds"),
        pytest.param(10 * MIB, 63, MIB, 1e-3, False, id="so few are computed in no time"),
        pytest.param(MIB, 1000, 2 * MIB, 1e-3, False, id="more than all there is room for"),
        pytest.param(0, 1000, MIB, 1e-3, False, id="no room at all"),
        pytest.param(10 * MIB, 1000, MIB, None, True, id="nothing measured yet"),
        pytest.param(10 * MIB, 100, 8 * MIB, 1e-4, False, id="faster computed than copied"),
    ],
)
def test_a_copy_is_made_where_it_pays(
    limit: int, n_tokens: int, n_bytes: int, token_s: float | None, is_worth: bool
) -> None:
    assert SavedStates(limit, token_s=lambda: token_s).is_worth_saving(n_tokens, n_bytes) is is_worth


def test_a_copy_that_is_there_comes_back_for_less_than_one_that_has_to_be_made() -> None:
    saved = SavedStates(100 * MIB, token_s=lambda: 1e-4)
    assert not saved.is_worth_saving(100, 8 * MIB)
    assert saved.is_worth_restoring(state(100, 8 * MIB), 100)


def test_the_speed_of_copies_is_learned() -> None:
    now_ns = 0
    saved = SavedStates(100 * MIB, token_s=lambda: 1e-3, clock_ns=lambda: now_ns)
    assert saved.is_worth_saving(1000, 10 * MIB)
    for _ in range(20):
        started_ns, now_ns = now_ns, now_ns + 1_000_000_000  # a second for each mebibyte
        saved.measure(MIB, started_ns)
    assert not saved.is_worth_saving(1000, 10 * MIB)


def test_small_copies_teach_nothing() -> None:
    saved = SavedStates(100 * MIB, token_s=lambda: 1e-3, clock_ns=lambda: 10**12)
    saved.measure(1000, 0)
    assert saved.is_worth_saving(1000, 10 * MIB)
