"""Which computed prefix a new sequence starts from, and where it runs."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.prefix import Holding, MemoryRules, NotYet, Placement, common_prefix, place, usable_prefix

ATTENTION = MemoryRules(can_trim=True, n_swa=0)
RECURRENT = MemoryRules(can_trim=False, n_swa=0)
WINDOW = MemoryRules(can_trim=True, n_swa=4)


def tokens(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def holding(
    slot: int,
    text: str = "",
    *,
    busy: bool = False,
    computed: int | None = None,
    reusable: int = 10_000,
    low: int = 0,
    last_used: int = 0,
) -> Holding:
    return Holding(
        slot=slot,
        is_free=not busy,
        tokens=tokens(text),
        n_computed=len(text) if computed is None else computed,
        n_reusable=reusable,
        low=low,
        last_used=last_used,
    )


@pytest.mark.parametrize(
    ("holdings", "expected"),
    [
        pytest.param([holding(0)], Placement(0, 0, 0), id="nothing there yet"),
        pytest.param([holding(0, "abc", busy=True)], NotYet(), id="no slot free"),
        pytest.param([holding(0, "abcd")], Placement(0, 0, 4), id="goes on where it was"),
        pytest.param([holding(0, "abxx")], Placement(0, 0, 2), id="the common part is kept"),
        pytest.param([holding(0, "abc"), holding(1, "abcde")], Placement(1, 1, 5), id="the longest prefix wins"),
        pytest.param([holding(0, "abcdef")], Placement(0, 0, 5), id="the last token is computed in any case"),
        pytest.param(
            [holding(0, "abcd", busy=True), holding(1)], Placement(1, 0, 4), id="taken from one that is running"
        ),
        pytest.param(
            [holding(0, "abxxxxxxxx"), holding(1)],
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
def test_where_a_prompt_runs(holdings: list[Holding], expected: Placement | NotYet) -> None:
    assert place(tokens("abcdef"), holdings, ATTENTION) == expected


def test_a_prompt_waits_for_another_that_is_about_to_compute_the_same() -> None:
    prompt = "x" * 200
    running = holding(0, prompt + "tail", busy=True, computed=20)
    assert place(tokens(prompt), [running, holding(1)], ATTENTION) == NotYet()
    done = holding(0, prompt + "tail", busy=True)
    assert place(tokens(prompt), [done, holding(1)], ATTENTION) == Placement(1, 0, 199)


def test_it_does_not_wait_for_the_rest_of_the_other_prompt() -> None:
    prompt = "x" * 100 + "mine"
    running = holding(0, "x" * 100 + "y" * 500, busy=True, computed=100)
    assert place(tokens(prompt), [running, holding(1)], ATTENTION) == Placement(1, 0, 100)


def test_a_state_that_cannot_go_back_is_only_continued() -> None:
    assert place(tokens("abcdef"), [holding(0, "abcd")], RECURRENT) == Placement(0, 0, 4)
    assert place(tokens("abcdef"), [holding(0, "abxx")], RECURRENT) == Placement(0, 0, 0)
    assert place(tokens("abcdef"), [holding(0, "abcdef")], RECURRENT) == Placement(0, 0, 0)


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
    assert usable_prefix(tokens("abcdefghijkl"), holding(0, text, low=low), WINDOW) == expected


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [("", "", 0), ("a", "", 0), ("abc", "abd", 2), ("abc", "abc", 3), ("abc", "ab", 2), ("x", "a", 0)],
)
def test_the_common_prefix(a: str, b: str, n: int) -> None:
    assert common_prefix(tokens(a), tokens(b)) == n
