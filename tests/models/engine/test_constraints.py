"""What a reply is held to: formats, the tokens that follow from them at once, budgets of thoughts."""

from __future__ import annotations

import pytest

from models.runner.messages import Reason
from models.runner.settings import Constraint, Thought, ThoughtBudget
from tests.fakes.context import counts, says
from tests.models.engine.engine_case import EngineCase, alone


def test_a_constraint_decides_what_may_be_said_and_when_it_is_complete() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", constraint=Constraint("json_schema", '{"enum": ["yes"]}'))
    case.run()
    assert case.text(1) == '"yes"'
    assert (case.finished(1).reason, case.finished(1).n_generated) == (Reason.STOP, 6)


YES_OR_NO = Constraint("gbnf", 'root ::= "\\"yes, indeed\\"" | "\\"no, never\\""')


def test_what_a_constraint_leaves_no_choice_about_is_computed_in_one_step() -> None:
    case = EngineCase(says('"yes, indeed'))
    case.submit(1, "a:", constraint=YES_OR_NO)
    case.run()
    assert case.text(1) == '"yes, indeed"'
    assert len(case.fake.steps) <= 3, "the quote, the first letter; the rest follows from them"
    assert case.finished(1).n_generated == 14
    assert sum(chunk.n_tokens for chunk in case.chunks(1)) == 13


def test_what_a_format_leaves_no_choice_about_is_cut_into_tokens_by_the_model() -> None:
    case = EngineCase(says('"yes'))
    case.submit(1, "a:", constraint=Constraint("json_schema", '{"enum": ["yes", "no"]}'))
    case.run()
    assert [chunk.text for chunk in case.chunks(1)] == list('"yes"')


def test_forced_tokens_count_against_the_limit_and_may_complete_a_stop_string() -> None:
    case = EngineCase(says('"yes, indeed'))
    case.submit(1, "a:", constraint=YES_OR_NO, n_predict=6)
    case.submit(2, "a:", constraint=YES_OR_NO, stop=(", in",))
    case.run()
    assert (case.text(1), case.finished(1).reason, case.finished(1).n_generated) == ('"yes, ', Reason.LIMIT, 6)
    assert (case.text(2), case.finished(2).reason) == ('"yes', Reason.STOP)


@pytest.mark.parametrize("n_ctx", [6, 7, 8, 11, 14, 15, 16, 17])
@pytest.mark.parametrize("shift", [True, False])
def test_forced_tokens_stay_within_the_context(n_ctx: int, shift: bool) -> None:
    case = EngineCase(says('"yes, indeed'), n_ctx=n_ctx, shift=shift)
    case.submit(1, "a:", constraint=YES_OR_NO, n_keep=-1 if shift else 0)
    case.run()
    whole = '"yes, indeed"'
    end = case.finished(1)
    if end.reason is Reason.STOP:
        assert case.text(1) == whole
    else:
        assert (end.reason, case.text(1)) == (Reason.CONTEXT, whole[: n_ctx - 2])


def test_log_probabilities_are_told_of_each_token_so_none_is_forced() -> None:
    case = EngineCase(says('"yes, indeed'))
    case.submit(1, "a:", constraint=YES_OR_NO, n_logprobs=1)
    case.run()
    assert [chunk.logprobs[0].piece for chunk in case.chunks(1)] == [bytes([c]) for c in b'"yes, indeed"']


def test_a_thought_that_is_too_long_is_ended_and_the_reply_goes_on() -> None:
    budget = ThoughtBudget(Thought("<t>", "</t>"), 3)
    case = EngineCase(counts)
    case.submit(1, "z<t>", n_predict=12, thought_budget=ThoughtBudget(Thought("<t>", "</t>", is_open=True), 3))
    case.submit(2, "abc", n_predict=5, thought_budget=budget)
    case.run()
    assert case.text(1)[3:7] == "</t>"
    assert len(case.text(1)) == 12
    assert case.text(2) == alone("abc", 5, model=counts), "it has no thought"


def test_a_constraint_begins_after_a_thought_that_was_ended() -> None:
    thought = Thought("<t>", "</t>", is_open=True)
    case = EngineCase(counts)
    constraint = Constraint("json_schema", '{"enum": ["yes"]}', thought)
    case.submit(1, "a", constraint=constraint, thought_budget=ThoughtBudget(thought, 2))
    case.submit(2, "a", constraint=constraint, thought_budget=ThoughtBudget(thought, 0), n_logprobs=0)
    case.run()
    assert (case.text(1), case.finished(1).reason) == ('bc</t>"yes"', Reason.STOP)
    assert (case.text(2), case.finished(2).reason) == ('</t>"yes"', Reason.STOP)
