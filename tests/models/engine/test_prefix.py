"""Which computed prefix a new sequence starts from, and where it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from models.engine.prefix import Holding, MemoryRules, NotYet, Placement, place, usable_prefix
from models.engine.radix import common_prefix
from models.engine.saved import SavedState

ATTENTION = MemoryRules(can_trim=True, n_swa=0)
RECURRENT = MemoryRules(can_trim=False, n_swa=0)
WINDOW = MemoryRules(can_trim=True, n_swa=4)


def tokens(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


class Held(NamedTuple):
    """A slot, and the tokens that make it one."""

    text: str
    holding: Holding


def holding(
    slot: int,
    text: str = "",
    *,
    busy: bool = False,
    computed: int | None = None,
    reusable: int = 10_000,
    low: int = 0,
    last_used: int = 0,
) -> Held:
    n_computed = len(text) if computed is None else computed
    return Held(text, Holding(slot, not busy, len(text), n_computed, reusable, low, last_used))


def saved(text: str, *, low: int = 0) -> SavedState:
    return SavedState(tokens(text), np.zeros(100, dtype=np.uint8), low)


def decide(
    prompt: str, held: list[Held], rules: MemoryRules, *states: SavedState, is_worth: bool = True
) -> Placement | NotYet:
    everyone: list[tuple[int, Holding | SavedState]] = [
        *((common_prefix(tokens(prompt), tokens(text)), holding) for text, holding in held),
        *((common_prefix(tokens(prompt), state.tokens), state) for state in states),
    ]
    matches = sorted((match for match in everyone if match[0]), key=lambda match: -match[0])
    free = [holding for _, holding in held if holding.is_free]
    return place(len(prompt), matches, free, rules, is_worth=lambda state, n: is_worth)


@pytest.mark.parametrize(
    ("holdings", "expected"),
    [
        pytest.param([holding(0)], Placement(0, 0, 0), id="nothing there yet"),
        pytest.param([holding(0, "abcd")], Placement(0, 0, 4), id="goes on where it was"),
        pytest.param([holding(0, "abxx")], Placement(0, 0, 2), id="the common part is kept"),
        pytest.param([holding(0, "abc"), holding(1, "abcde")], Placement(1, 1, 5), id="the longest prefix wins"),
        pytest.param([holding(0, "abcdef")], Placement(0, 0, 5), id="the last token is computed in any case"),
        pytest.param(
            [holding(0, "abcd", busy=True), holding(1)], Placement(1, 0, 4), id="taken from one that is running"
        ),
        pytest.param(
            [holding(0, "ab" + "x" * 50), holding(1)],
            Placement(1, 0, 2),
            id="another slot's long text is not destroyed for a short prefix",
        ),
        pytest.param([holding(0, "abxxxxxxxx")], Placement(0, 0, 2), id="unless there is no other slot"),
        pytest.param(
            [holding(0, "xx", last_used=5), holding(1, "yy", last_used=2)],
            Placement(1, 1, 0),
            id="with nothing in common the slot used longest ago is taken",
        ),
        pytest.param([holding(0, "xx", last_used=1), holding(1)], Placement(1, 1, 0), id="or an empty one"),
        pytest.param(
            [holding(0, "abcd", busy=True, computed=2), holding(1)],
            Placement(1, 0, 2),
            id="only what is computed counts",
        ),
        pytest.param([holding(0, "abcd", reusable=1)], Placement(0, 0, 1), id="and only up to where it was shifted"),
    ],
)
def test_where_a_prompt_runs(holdings: list[Held], expected: Placement) -> None:
    placement = decide("abcdef", holdings, ATTENTION)
    assert isinstance(placement, Placement)
    assert replace(placement, n_alike=0) == expected


@pytest.mark.parametrize(
    ("tail", "others", "expected"),
    [
        pytest.param(30, "", Placement(0, 0, 100), id="a few tokens are lost"),
        pytest.param(50, "", Placement(1, 0, 100), id="more are kept, if a slot is empty"),
        pytest.param(50, "zz", Placement(0, 0, 100), id="lost, if none is"),
        pytest.param(150, "zz", Placement(1, 0, 100), id="but not more than half"),
    ],
)
def test_where_prompts_part_the_rest_of_the_other_is_kept(tail: int, others: str, expected: Placement) -> None:
    held = [holding(0, "x" * 100 + "a" * tail, last_used=9), holding(1, others, last_used=1)]
    placement = decide("x" * 100 + "b", held, ATTENTION)
    assert isinstance(placement, Placement) and replace(placement, n_alike=0) == expected


def test_a_prompt_waits_for_another_that_is_about_to_compute_the_same() -> None:
    prompt = "x" * 200
    running = holding(0, prompt + "tail", busy=True, computed=20)
    assert decide(prompt, [running, holding(1)], ATTENTION) == NotYet(0, 199)
    done = holding(0, prompt + "tail", busy=True)
    assert decide(prompt, [done, holding(1)], ATTENTION) == Placement(1, 0, 199, n_alike=199)


def test_it_does_not_wait_for_the_rest_of_the_other_prompt() -> None:
    prompt = "x" * 100 + "mine"
    running = holding(0, "x" * 100 + "y" * 500, busy=True, computed=100)
    assert decide(prompt, [running, holding(1)], ATTENTION) == Placement(1, 0, 100, n_alike=100)


@pytest.mark.parametrize(
    ("computed", "expected"),
    [(70, NotYet(0, 100)), (90, Placement(1, 0, 90, n_alike=100)), (0, NotYet(0, 100))],
    ids=["soon, and worth it", "hardly more", "all of it"],
)
def test_it_waits_for_little_that_comes_soon(computed: int, expected: Placement | NotYet) -> None:
    running = holding(0, "x" * 100 + "y" * 500, busy=True, computed=computed)
    assert decide("x" * 100 + "mine", [running, holding(1)], ATTENTION) == expected


def test_it_does_not_wait_for_little_of_a_prompt_that_has_not_begun() -> None:
    running = holding(0, "x" * 40 + "y" * 500, busy=True, computed=0)
    assert decide("x" * 40 + "mine", [running, holding(1)], ATTENTION) == Placement(1, 1, 0, n_alike=40)


@pytest.mark.parametrize("rules", [RECURRENT, WINDOW])
def test_it_does_not_wait_for_a_state_that_has_gone_past(rules: MemoryRules) -> None:
    running = holding(0, "x" * 100 + "y" * 500, busy=True, computed=200, low=190)
    assert decide("x" * 100 + "mine", [running, holding(1)], rules) == Placement(1, 1, 0, n_alike=100)


@pytest.mark.parametrize(
    ("held", "n_reused", "n_alike"),
    [("abcd", 4, 4), ("abxx", 0, 2), ("abcdef", 0, 5)],
    ids=["all of it", "a part", "all of the prompt"],
)
def test_a_state_that_cannot_go_back_is_only_continued(held: str, n_reused: int, n_alike: int) -> None:
    assert decide("abcdef", [holding(0, held)], RECURRENT) == Placement(0, 0, n_reused, n_alike)


# ---- saved states ----------------------------------------------------------------------------------------------

LONG = "abcdefghij" * 10


@pytest.mark.parametrize(
    ("text", "held", "rules", "n"),
    [
        pytest.param(LONG[:80], "", ATTENTION, 80, id="nothing in the context"),
        pytest.param(LONG[:80] + "zzz", "", ATTENTION, 80, id="the beginning of one"),
        pytest.param(LONG[:80], LONG[:48], ATTENTION, 80, id="much more than in the context"),
        pytest.param(LONG[:80], LONG[:49], ATTENTION, None, id="hardly more than in the context"),
        pytest.param(LONG[:80], "", RECURRENT, 80, id="one that cannot go back, whole"),
        pytest.param(LONG[:80] + "z", "", RECURRENT, None, id="but not a part of it"),
        pytest.param(LONG, "", RECURRENT, None, id="nor when a token has to be left to compute"),
        pytest.param(LONG[:80], "", WINDOW, 80, id="a window"),
        pytest.param(LONG[:80] + "z" * 9, "", WINDOW, None, id="but not after it has moved on"),
    ],
)
def test_a_saved_state_is_restored(text: str, held: str, rules: MemoryRules, n: int | None) -> None:
    state = saved(text, low=max(0, len(text) - 4) if rules.n_swa else 0)
    placement = decide(LONG, [holding(0, held), holding(1)], rules, state)
    assert isinstance(placement, Placement)
    assert (placement.source is state) == (n is not None)
    assert n is None or placement.n_reused == n


def test_a_saved_state_goes_where_it_destroys_least() -> None:
    state = saved(LONG[:80])
    placement = decide(LONG, [holding(0, LONG[:10], last_used=3), holding(1, "zz", last_used=2)], ATTENTION, state)
    assert placement == Placement(1, state, 80, n_alike=80)


def test_a_saved_state_that_takes_longer_to_restore_than_to_compute_stays_where_it_is() -> None:
    placement = decide(LONG, [holding(0, LONG[:40])], ATTENTION, saved(LONG[:80]), is_worth=False)
    assert placement == Placement(0, 0, 40, n_alike=80)


def test_nobody_waits_for_what_can_be_restored() -> None:
    running = holding(0, LONG, busy=True, computed=0)
    state = saved(LONG[:80])
    assert decide(LONG, [running, holding(1)], ATTENTION, state) == Placement(1, state, 80, n_alike=99)


@pytest.mark.parametrize(
    ("text", "low", "expected"),
    [
        ("abcdefghij", 0, 10),
        ("abcdefghij", 6, 10),  # the window before position 10 is there
        ("abcdefghij", 7, 0),
        ("abcdefxxxx", 2, 6),
        ("abcdefxxxx", 3, 0),  # gone by: the state before the common part is not complete
        ("abxxxxxxxx", 0, 2),
        ("abxxxxxxxx", 1, 0),
    ],
)
def test_a_sliding_window_must_be_complete_before_the_common_part_ends(text: str, low: int, expected: int) -> None:
    n_common = common_prefix(tokens("abcdefghijkl"), tokens(text))
    assert usable_prefix(12, n_common, holding(0, text, low=low).holding, WINDOW) == expected


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [("", "", 0), ("a", "", 0), ("abc", "abd", 2), ("abc", "abc", 3), ("abc", "ab", 2), ("x", "a", 0)],
)
def test_the_common_prefix(a: str, b: str, n: int) -> None:
    assert common_prefix(tokens(a), tokens(b)) == n
