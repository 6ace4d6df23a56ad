"""A request to generate becomes a task."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.context_end import ContextRules
from models.engine.prepare import Preparer, check_sampling
from models.errors import BadRequest, InvalidConstraint
from models.runner.messages import Constraint, Generate, Sampling
from tests.fakes.context import BOS, CALL, N_VOCAB, ByteVocabulary

RULES = ContextRules(n_ctx=16, n_ctx_seq=256, shift=True, adds_bos=True)


@pytest.fixture
def preparer() -> Preparer:
    return Preparer(ByteVocabulary(adds_bos=True), RULES)


def test_a_prompt_is_tokenized_with_what_the_tokenizer_adds(preparer: Preparer) -> None:
    task = preparer.prepare(Generate(1, "a<call>"))
    assert task.prompt.tolist() == [BOS, ord("a"), CALL] and task.n_truncated == 0


def test_what_a_prompt_lost_is_reported(preparer: Preparer) -> None:
    task = preparer.prepare(Generate(1, "x" * 50, n_keep=2))
    assert (len(task.prompt), task.n_truncated) == (10, 41)


def test_penalties_see_the_prompt(preparer: Preparer) -> None:
    task = preparer.prepare(Generate(1, "ab", Sampling(temperature=0, presence_penalty=100)))
    logits = np.zeros(N_VOCAB, dtype=np.float32)
    logits[[ord("a"), ord("c")]] = [5, 1]
    assert task.sampler.sample(logits) == ord("c")


def test_only_texts_that_are_one_token_can_be_shown(preparer: Preparer) -> None:
    assert preparer.prepare(Generate(1, "a", shown=("<call>", "<none>"))).shown == {CALL}


def test_a_bad_constraint_refuses_the_request(preparer: Preparer) -> None:
    with pytest.raises(InvalidConstraint):
        preparer.prepare(Generate(1, "a", constraint=Constraint("json_schema", "{")))


def test_long_prompts_and_first_constraints_take_longer(preparer: Preparer) -> None:
    constrained = Generate(1, "a", constraint=Constraint("json", ""))
    assert preparer.is_quick(Generate(1, "a" * 1000)) and not preparer.is_quick(Generate(1, "a" * 100_000))
    assert not preparer.is_quick(constrained)
    preparer.prepare(constrained)
    assert preparer.is_quick(constrained)


@pytest.mark.parametrize(
    ("sampling", "n_keep", "message"),
    [
        (Sampling(), -2, "Field 'n_keep': Value must be between -1 <= value <= 2147483647, but got -2"),
        (
            Sampling(repeat_last_n=-1),
            0,
            "Field 'repeat_last_n': Value must be between 0 <= value <= 2147483647, but got -1",
        ),
        (
            Sampling(repeat_penalty=0),
            0,
            "Failed to initialize samplers: penalty_repeat must be finite and greater than 0",
        ),
        (Sampling(repeat_penalty=1e300 * 1e300), 0, None),
        (Sampling(frequency_penalty=float("nan")), 0, "Failed to initialize samplers: penalty_freq must be finite"),
        (Sampling(presence_penalty=float("inf")), 0, "Failed to initialize samplers: penalty_present must be finite"),
    ],
)
def test_options_that_the_engine_refuses(sampling: Sampling, n_keep: int, message: str | None) -> None:
    with pytest.raises(BadRequest) as raised:
        check_sampling(sampling, n_keep)
    if message is not None:
        assert str(raised.value) == f'{{"error":{{"code":400,"message":"{message}","type":"invalid_request_error"}}}}'
