"""Nobody starves: long prompts beside short ones, those who decode beside both, whoever needs cells."""

from __future__ import annotations

from tests.fakes.context import FakeContext, counts, says
from tests.models.engine.engine_case import EngineCase


def steps_until_said(case: EngineCase, request_id: int, *, submit_each: str = "", most: int = 500) -> int:
    """Steps until a request has its first token, while another prompt arrives in each of them."""
    for n in range(1, most):
        if submit_each:
            case.submit(1000 + n, f"{n}{submit_each}", n_predict=1)
        case.step()
        if case.text(request_id):
            return n
    raise AssertionError(f"nothing was said within {most} steps")


def test_a_long_prompt_gets_half_of_every_step_however_many_short_ones_arrive() -> None:
    case = EngineCase(counts, n_ctx=4000)
    case.submit(1, "x" * 2000, n_predict=1)
    assert steps_until_said(case, 1, submit_each="y" * 30) <= 2000 // 32 + 2


def test_short_prompts_do_not_wait_for_long_ones() -> None:
    case = EngineCase(counts, n_ctx=4000, n_slots=8, context=FakeContext(counts, n_cells=20_000))
    for request_id in range(1, 5):
        case.submit(request_id, f"{request_id}" + "x" * 3000, n_predict=1)
    case.step()
    case.submit(9, "a short one", n_predict=1)
    assert steps_until_said(case, 9) <= 2


def test_those_who_decode_get_a_token_in_every_step_whatever_arrives() -> None:
    case = EngineCase(counts, n_ctx=4000, n_slots=8)
    case.submit(1, "a", n_predict=200)
    case.step()
    for n in range(100):
        case.submit(100 + n, f"{n}" + "x" * (20 if n % 2 else 900), n_predict=3)
        case.step()
    assert len(case.text(1)) == 101


def test_long_prompts_are_served_in_the_order_in_which_they_came() -> None:
    case = EngineCase(counts, n_ctx=4000)
    for request_id in range(1, 5):
        case.submit(request_id, f"{request_id}" + "x" * 1000, n_predict=1)
    case.run()
    assert list(case.heard) == [1, 2, 3, 4]


def test_one_that_needs_many_cells_is_not_overtaken_forever() -> None:
    case = EngineCase(counts, n_ctx=400, n_slots=4, context=FakeContext(counts, n_cells=500))
    case.submit(1, "first a", n_predict=30)
    case.step()
    case.submit(2, "z" * 390, n_predict=5)
    assert steps_until_said(case, 2, submit_each="y" * 20) <= 60


def largest_step_after_a_reply_has_begun(n_between: int, n_prompt: int = 1500) -> int:
    """Tokens of a step, on a machine on which 600 fit one alone and 150 beside others."""
    case = EngineCase(counts, n_ctx=4000, context=FakeContext(counts, n_batch=512))
    case.engine._pace.measure_prompts([(512, 0)], 0.6)
    case.submit(1, "a", n_predict=100)
    case.step(1 + n_between)
    n_before = len(case.fake.steps)
    case.submit(2, "x" * n_prompt, n_predict=1)
    case.step()
    return max(sum(step.values()) for step in case.fake.steps[n_before:])


def test_prompts_that_came_while_the_first_one_was_computed_need_not_be_considerate() -> None:
    assert largest_step_after_a_reply_has_begun(0) > 300
    assert largest_step_after_a_reply_has_begun(1) < 200


def test_a_long_prompt_is_considerate_whoever_came_with_it() -> None:
    assert largest_step_after_a_reply_has_begun(0, n_prompt=3500) < 200


def prompts_computed_between_texts(case: EngineCase) -> list[int]:
    """Steps that computed some of a prompt, between the texts that request 1 got, while a long prompt was computed."""
    between = [0]
    while not case.text(2):
        n_chunks = len(case.chunks(1))
        n_steps = len(case.fake.steps)
        case.step()
        between[-1] += sum(max(step.values()) > 1 for step in case.fake.steps[n_steps:])
        if len(case.chunks(1)) > n_chunks:
            between.append(0)
    return between


def test_one_whose_token_had_no_text_gets_the_next_before_prompts_go_on() -> None:
    case = EngineCase(says("語" * 400), n_ctx=4000)  # three tokens a character
    case.submit(1, "a:", n_predict=1000)
    case.step(7)
    case.submit(2, "x" * 2000 + ":", n_predict=3)
    between = prompts_computed_between_texts(case)
    assert max(between) == 1 < sum(between)


def test_one_that_says_nothing_for_long_does_not_starve_prompts() -> None:
    case = EngineCase(says("a" + "n" * 1000), n_ctx=4000)
    case.submit(1, "b:", n_predict=1000, stop=("n" * 900 + "!",))  # held back: it may be the stop
    case.step(5)
    case.submit(2, "x" * 2000 + ":", n_predict=3)
    assert steps_until_said(case, 2) <= 4 * (2000 // 60 + 2)
