"""A request to generate becomes a task."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.context_end import ContextRules
from models.engine.prepare import Preparer
from models.errors import BadRequest, ContextExceeded, InvalidConstraint, InvalidToken
from models.runner.lanes import Lane, run_through
from models.runner.messages import Generate
from models.runner.settings import Constraint, Sampling, Thought
from tests.fakes.context import BOS, CALL, END, N_VOCAB, ByteVocabulary

RULES = ContextRules(n_ctx=16, n_ctx_seq=256, shift=True, adds_bos=True)


@pytest.fixture
def preparer() -> Preparer:
    return Preparer(ByteVocabulary(adds_bos=True), RULES)


def test_a_prompt_is_tokenized_with_what_the_tokenizer_adds(preparer: Preparer) -> None:
    task = run_through(preparer.prepare(Generate(1, "a<call>")))
    assert task.prompt.tolist() == [BOS, ord("a"), CALL] and task.n_truncated == 0


def test_what_a_prompt_lost_is_reported(preparer: Preparer) -> None:
    task = run_through(preparer.prepare(Generate(1, "x" * 50, n_keep=2)))
    assert (len(task.prompt), task.n_truncated) == (10, 41)


def test_penalties_see_the_prompt(preparer: Preparer) -> None:
    task = run_through(preparer.prepare(Generate(1, "ab", Sampling(temperature=0, presence_penalty=100))))
    logits = np.zeros(N_VOCAB, dtype=np.float32)
    logits[[ord("a"), ord("c")]] = [5, 1]
    assert task.sampler.sample(logits) == ord("c")


@pytest.mark.parametrize(("ignores", "token"), [(True, ord("b")), (False, END)])
def test_tokens_that_end_a_reply_can_be_ignored(preparer: Preparer, ignores: bool, token: int) -> None:
    task = run_through(preparer.prepare(Generate(1, "a", Sampling(temperature=0, ignore_eos=ignores))))
    logits = np.zeros(N_VOCAB, dtype=np.float32)
    logits[[END, ord("b")]] = [5, 1]
    assert task.sampler.sample(logits) == token


def test_a_constraint_says_when_a_reply_ends_even_if_the_end_is_ignored(preparer: Preparer) -> None:
    constraint = Constraint("json_schema", '{"enum": ["y"]}')
    task = run_through(
        preparer.prepare(Generate(1, "a", Sampling(temperature=0, ignore_eos=True), constraint=constraint))
    )
    said = list[int]()
    while END not in said:
        forced = list(task.sampler.forced())
        for token in forced:
            task.sampler.force(token)
        said += forced or [task.sampler.sample(np.zeros(N_VOCAB, dtype=np.float32))]
        assert len(said) < 10, "it does not end"
    assert bytes(said[:-1]) == b'"y"'


def test_only_texts_that_are_one_token_can_be_shown(preparer: Preparer) -> None:
    assert run_through(preparer.prepare(Generate(1, "a", shown=("<call>", "<none>")))).shown == {CALL}


def test_a_bad_constraint_refuses_the_request(preparer: Preparer) -> None:
    with pytest.raises(InvalidConstraint):
        run_through(preparer.prepare(Generate(1, "a", constraint=Constraint("json_schema", "{"))))


def test_a_prompt_of_tokens_is_taken_as_it_is(preparer: Preparer) -> None:
    assert run_through(preparer.prepare(Generate(1, "", tokens=(CALL, 7, 0)))).prompt.tolist() == [CALL, 7, 0]
    task = run_through(preparer.prepare(Generate(1, "", tokens=tuple(range(50)), n_keep=2)))
    assert (len(task.prompt), task.n_truncated) == (10, 40)


@pytest.mark.parametrize("token", [-1, N_VOCAB, 2**40])
def test_a_token_that_the_vocabulary_lacks_is_refused(preparer: Preparer, token: int) -> None:
    with pytest.raises(InvalidToken):
        run_through(preparer.prepare(Generate(1, "", tokens=(1, token))))


def test_a_prompt_that_may_not_be_cut_says_how_long_it_is() -> None:
    preparer = Preparer(ByteVocabulary(), ContextRules(n_ctx=16, n_ctx_seq=16, shift=True, adds_bos=False))
    with pytest.raises(ContextExceeded) as raised:
        run_through(preparer.prepare(Generate(1, "x" * 20, truncate=False)))
    assert (raised.value.n_prompt, raised.value.n_ctx) == (20, 16)


def test_biases_know_tokens_by_number_and_by_text(preparer: Preparer) -> None:
    biases = ((ord("a"), 2.0), ("bb", 1.5), (-1, 50.0), (N_VOCAB, 50.0), (ord("z"), -float("inf")))
    task = run_through(preparer.prepare(Generate(1, "x", Sampling(temperature=0, logit_bias=biases))))
    logits = np.zeros(N_VOCAB, dtype=np.float32)
    logits[ord("z")] = 100
    task.sampler.sample(logits)
    assert [logits[ord(c)] for c in "abz"] == [2, 3, -np.inf]


def lanes(preparer: Preparer, request: Generate) -> list[Lane]:
    """Where it is prepared, besides the thread of the engine."""
    return list(preparer.prepare(request))


def test_sequence_breakers_are_looked_for_once(preparer: Preparer) -> None:
    request = Generate(1, "abcab", Sampling(temperature=0, dry_multiplier=1.0, dry_sequence_breakers=("!",)))
    assert lanes(preparer, request) == [Lane.READING]
    assert lanes(preparer, request) == []


def test_long_prompts_and_first_constraints_take_longer(preparer: Preparer) -> None:
    constrained = Generate(1, "a", constraint=Constraint("json", ""))
    assert lanes(preparer, Generate(1, "a" * 1000)) == []
    assert lanes(preparer, Generate(1, "a" * 100_000)) == [Lane.READING]
    assert lanes(preparer, constrained) == [Lane.COMPILING]
    assert lanes(preparer, constrained) == []


def test_the_first_thought_before_a_known_constraint_takes_longer(preparer: Preparer) -> None:
    for thought, expected in (
        (None, [Lane.COMPILING]),
        (Thought("<think>", "</think>"), [Lane.COMPILING]),
        (Thought("<think>", "</think>"), []),
        (Thought("[T]", "[/T]"), [Lane.COMPILING]),
        (None, []),
    ):
        assert lanes(preparer, Generate(1, "a", constraint=Constraint("json", "", thought))) == expected


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
        (Sampling(mirostat_tau=float("inf")), 0, "Field 'mirostat_tau': Value must be finite"),
        (Sampling(dynatemp_exponent=float("nan")), 0, "Field 'dynatemp_exponent': Value must be finite"),
        (
            Sampling(dry_allowed_length=-1),
            0,
            "Field 'dry_allowed_length': Value must be between 0 <= value <= 2147483647, but got -1",
        ),
        (Sampling(dry_penalty_last_n=-2), 0, None),
        (Sampling(min_keep=-1), 0, "Field 'min_keep': Value must be between 0 <= value <= 2147483647, but got -1"),
        (Sampling(adaptive_target=float("nan")), 0, "Field 'adaptive_target': Value must be finite"),
        (
            Sampling(adaptive_decay=1.0),
            0,
            "Field 'adaptive_decay': Value must be between 0.000000 <= value <= 0.990000, but got 1.000000",
        ),
        (
            Sampling(dry_multiplier=1, dry_sequence_breakers=()),
            0,
            "Error: dry_sequence_breakers must be a non-empty array of strings",
        ),
        (Sampling(dry_sequence_breakers=("a",) * 65), 0, "Field 'dry_sequence_breakers': at most 64 entries"),
        (Sampling(samplers=("top_k",) * 33), 0, "Field 'samplers': at most 32 entries"),
        (Sampling(logit_bias=((1, float("inf")),)), 0, "Field 'logit_bias': Value must be finite, or false"),
        (
            Sampling(logit_bias=(("x" * 20_000, 1.0),)),
            0,
            "Field 'logit_bias': its texts have more than 16384 characters",
        ),
    ],
)
def test_options_that_the_engine_refuses(
    preparer: Preparer, sampling: Sampling, n_keep: int, message: str | None
) -> None:
    with pytest.raises(BadRequest) as raised:
        run_through(preparer.prepare(Generate(1, "a", sampling, n_keep=n_keep)))
    if message is not None:
        assert str(raised.value) == f'{{"error":{{"code":400,"message":"{message}","type":"invalid_request_error"}}}}'
