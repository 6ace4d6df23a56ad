from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.cases import CASES, Case, Measure, Prompts, asks
from bench.report import Round, judge, table


def measured(server: str, speed: float, duration_s: float = 1.0) -> Round:
    return Round(server, duration_s, speed, first_token_s=0.01)


def pair(puna: float, peer: float) -> tuple[Round, Round]:
    return measured("puna", puna, 100 / puna), measured("llama-server", peer, 100 / peer)


def test_the_ratio_is_taken_pair_by_pair_so_that_a_slow_minute_cancels() -> None:
    verdict = judge(Case("x", 1, 8, 8), [pair(100, 100), pair(50, 50), pair(10, 10)])
    assert verdict.ratio == 1.0
    assert verdict.puna == verdict.peer == 50


def test_a_shorter_duration_is_a_ratio_above_one() -> None:
    verdict = judge(Case("x", 1, 8, 8, measure=Measure.DURATION), [pair(200, 100)] * 3)
    assert verdict.ratio == pytest.approx(2.0)


@pytest.mark.parametrize(("goal", "reached"), [(None, True), (0.9, True), (0.95, False)])
def test_a_missed_goal_is_marked(goal: float | None, reached: bool) -> None:
    verdict = judge(Case("x", 1, 8, 8, goal=goal), [pair(92, 100)])
    assert verdict.is_reached is reached
    assert ("MISSED" in table([verdict])) is not reached


def test_rounds_ask_the_same_of_both_servers_and_never_the_same_twice() -> None:
    case = CASES["eight-streams"]
    assert asks(case, 1) == asks(case, 1)
    prompts = [ask.prompt for number in range(3) for ask in asks(case, number)]
    assert len(set(prompts)) == len(prompts)
    assert {len(prompt) for prompt in prompts} == {case.n_prompt}


def test_shared_prompts_differ_only_in_their_tails() -> None:
    prompts = [ask.prompt for ask in asks(Case("x", 4, 100, 8, prompts=Prompts.SHARED), 0)]
    assert len({prompt[:84] for prompt in prompts}) == 1
    assert len({prompt[84:] for prompt in prompts}) == 4


@pytest.mark.parametrize(("value", "reached"), [(0.2, True), (0.3, False)])
def test_a_value_of_its_own_may_be_promised(value: float, reached: bool) -> None:
    case = Case("x", 1, 8, 8, measure=Measure.WORST_GAP, most=0.25)
    rounds = [replace(measured(server, 1.0), worst_gap_s=value) for server in ("puna", "llama-server")]
    verdict = judge(case, [(rounds[0], rounds[1])])
    assert verdict.is_reached is reached and "<= 0.25 s worst gap" in table([verdict])


@pytest.mark.parametrize(("ours", "theirs", "ratio"), [(0.0, 0.0, 1.0), (0.0, 0.5, math.inf), (0.5, 0.0, 0.0)])
def test_no_gap_at_all_can_be_compared(ours: float, theirs: float, ratio: float) -> None:
    rounds = [replace(measured("any", 1.0), worst_gap_s=gap) for gap in (ours, theirs)]
    assert judge(Case("x", 1, 8, 8, measure=Measure.WORST_GAP), [(rounds[0], rounds[1])]).ratio == ratio
