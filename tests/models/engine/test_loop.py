"""The engine: many generations at once, one step at a time."""

from __future__ import annotations

import random

import pytest

from models.errors import ContextLost
from models.llama.outcome import Outcome
from models.runner.messages import Constraint, FailureKind, Reason, Sampling, Thought, ThoughtBudget
from tests.fakes.context import END, ByteVocabulary, FakeContext, counts, hashes, says
from tests.models.engine.engine_case import EngineCase


def alone(prompt: str, n: int, *, n_ctx: int = 256, **fields: object) -> str:
    """What the hashing model says to a prompt when nothing else goes on."""
    case = EngineCase(hashes, n_ctx=n_ctx)
    case.submit(1, prompt, n_predict=n, **fields)
    case.run()
    return case.text(1)


# ---- one generation ------------------------------------------------------------------------------------------------


def test_a_reply_ends_with_the_end_token_which_is_counted_and_not_shown() -> None:
    case = EngineCase(says("Hello!"))
    case.submit(1, "greet:")
    case.run()
    assert case.text(1) == "Hello!"
    end = case.finished(1)
    assert (end.reason, end.n_prompt, end.n_generated, end.n_cached) == (Reason.STOP, 6, 7, 0)
    assert end.prompt_ns > 0 and end.decode_ns > 0


def test_every_token_is_heard_when_it_comes() -> None:
    case = EngineCase(says("abc"))
    case.submit(1, "x:")
    case.step()
    assert case.text(1) == "a"
    case.step()
    assert case.text(1) == "ab"


def test_n_predict_limits_the_reply() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=5)
    case.run()
    assert case.text(1) == "bcdef"
    assert (case.finished(1).reason, case.finished(1).n_generated) == (Reason.LIMIT, 5)


def test_an_end_token_at_the_limit_counts_as_the_end() -> None:
    case = EngineCase(says("abc"))
    case.submit(1, "x:", n_predict=4)
    case.run()
    assert case.finished(1).reason is Reason.STOP


def test_a_stop_string_ends_the_reply_before_it() -> None:
    case = EngineCase(says("one STOP two"))
    case.submit(1, "x:", stop=("STOP",))
    case.run()
    assert case.text(1) == "one "
    assert (case.finished(1).reason, case.finished(1).n_generated) == (Reason.STOP, 8)


def test_half_characters_are_never_sent() -> None:
    case = EngineCase(says("Grüße 😀"))
    case.submit(1, "x:")
    case.run()
    assert [event.text for event in case.heard[1][:-1]] == [*"Grüße 😀"]  # type: ignore[union-attr]


def test_a_prompt_without_tokens_gets_an_empty_reply() -> None:
    case = EngineCase(counts)
    case.submit(1, "")
    case.run()
    assert (case.text(1), case.finished(1).reason, case.finished(1).n_prompt) == ("", Reason.STOP, 0)


def test_control_tokens_are_shown_only_if_asked_for() -> None:
    vocabulary = ByteVocabulary()
    call = int(vocabulary.tokenize("<call>", add_special=False)[0])
    for shown, text in (((), "ab"), (("<call>",), "<call>ab")):
        case = EngineCase(lambda tokens: {ord(":"): call, call: ord("a"), ord("a"): ord("b")}.get(tokens[-1], END))
        case.submit(1, "x:", shown=shown)
        case.run()
        assert case.text(1) == text


def test_log_probabilities_come_with_the_text_they_belong_to() -> None:
    case = EngineCase(says("aü"))
    case.submit(1, "x:", n_logprobs=2)
    case.run()
    chunks = case.heard[1][:-1]
    assert [[entry.piece for entry in chunk.logprobs] for chunk in chunks] == [[b"a"], ["ü".encode()]]  # type: ignore[union-attr]
    first = chunks[0].logprobs[0]  # type: ignore[union-attr]
    assert first.logprob == pytest.approx(0, abs=1e-6) and first.top[0].piece == b"a" and len(first.top) == 2


def test_suppressed_tokens_are_never_said() -> None:
    case = EngineCase(counts, vocabulary=ByteVocabulary(suppressed=[ord("c"), 271]))
    case.submit(1, "b", n_predict=1)
    case.run()
    assert case.text(1) != "c"


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
    assert case.text(2) == alone_counting("abc", 5), "it has no thought"


def test_a_constraint_begins_after_a_thought_that_was_ended() -> None:
    thought = Thought("<t>", "</t>", is_open=True)
    case = EngineCase(counts)
    constraint = Constraint("json_schema", '{"enum": ["yes"]}', thought)
    case.submit(1, "a", constraint=constraint, thought_budget=ThoughtBudget(thought, 2))
    case.submit(2, "a", constraint=constraint, thought_budget=ThoughtBudget(thought, 0), n_logprobs=0)
    case.run()
    assert (case.text(1), case.finished(1).reason) == ('bc</t>"yes"', Reason.STOP)
    assert (case.text(2), case.finished(2).reason) == ('</t>"yes"', Reason.STOP)


def alone_counting(prompt: str, n: int) -> str:
    case = EngineCase(counts)
    case.submit(1, prompt, n_predict=n)
    case.run()
    return case.text(1)


def test_what_the_context_lost_while_it_generated_is_told() -> None:
    case = EngineCase(counts, n_ctx=16)
    case.submit(1, "abcdef", n_predict=40, n_keep=2)
    case.submit(2, "abcdef", n_predict=4)
    case.run()
    assert case.finished(1).n_shifted > 0
    assert case.finished(2).n_shifted == 0


# ---- many generations ----------------------------------------------------------------------------------------------


def test_sequences_share_steps_and_say_what_they_would_say_alone() -> None:
    case = EngineCase(hashes)
    prompts = {i: f"prompt number {i} is this" for i in range(4)}
    for request_id, prompt in prompts.items():
        case.submit(request_id, prompt, n_predict=20)
    case.run()
    assert {i: case.text(i) for i in prompts} == {i: alone(prompt, 20) for i, prompt in prompts.items()}
    assert {0: 1, 1: 1, 2: 1, 3: 1} in case.fake.steps


def test_newcomers_join_and_leave_between_two_steps() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=10)
    case.step(3)
    case.submit(2, "n", n_predict=2)
    case.step()
    assert (case.text(1), case.text(2)) == ("bcde", "o")
    case.run()
    assert (case.text(1), case.text(2)) == ("bcdefghijk", "op")


def test_more_requests_than_slots_are_served_in_their_order() -> None:
    case = EngineCase(counts, n_slots=2)
    for request_id in range(6):
        case.submit(request_id, "a", n_predict=3)
    case.run()
    assert [case.text(request_id) for request_id in range(6)] == ["bcd"] * 6
    assert list(case.heard) == [0, 1, 2, 3, 4, 5]


def test_with_cells_of_their_own_those_who_decode_come_first_and_prompts_apart() -> None:
    case = EngineCase(counts, context=FakeContext(counts, shares_cells=False))
    case.submit(1, "a", n_predict=9)
    case.submit(2, "b", n_predict=9)
    case.step()
    case.submit(3, "x" * 20, n_predict=9)
    case.submit(4, "y" * 20, n_predict=9)
    n_before = len(case.fake.steps)
    case.step()
    assert case.fake.steps[n_before:] == [{0: 1, 1: 1}, {2: 20, 3: 20}]


def test_a_long_prompt_does_not_hold_up_those_who_decode() -> None:
    case = EngineCase(counts, n_ctx=2000)
    case.submit(1, "a", n_predict=30)
    case.step()
    case.submit(2, "x" * 1000, n_predict=1)
    for _ in range(10):
        case.step()
        assert case.fake.steps[-1][0] == 1, "the one who decodes takes part in every step"
    assert len(case.text(1)) == 11
    case.run()
    assert case.text(2) == "y"


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    case = EngineCase(counts, n_ctx=4000)
    case.submit(1, "x" * 2000, n_predict=1)
    case.step()
    case.submit(2, "short prompt a", n_predict=1)
    case.step()
    assert case.text(2) == "b" and case.text(1) == ""


def test_sampling_with_a_seed_is_the_same_beside_others() -> None:
    options = Sampling(temperature=2.0, seed=3)
    wanted = alone("same", 30, sampling=options)
    case = EngineCase(hashes)
    case.submit(1, "other", n_predict=40, sampling=Sampling(temperature=2.0, seed=4))
    case.submit(2, "same", n_predict=30, sampling=options)
    case.run()
    assert case.text(2) == wanted


# ---- cancelling ----------------------------------------------------------------------------------------------------


def test_a_cancelled_generation_ends_before_the_next_step() -> None:
    case = EngineCase(counts)
    case.submit(1, "a")
    case.step(3)
    case.engine.cancel(1)
    n_steps = len(case.fake.steps)
    case.run()
    assert case.finished(1).reason is Reason.CANCELLED and len(case.fake.steps) == n_steps


def test_a_prompt_can_be_cancelled_while_it_is_computed() -> None:
    case = EngineCase(counts, n_ctx=4000)
    case.submit(1, "x" * 2000)
    case.step(2)
    case.engine.cancel(1)
    case.run()
    assert (case.finished(1).reason, case.text(1)) == (Reason.CANCELLED, "")
    assert sum(step.get(0, 0) for step in case.fake.steps) < 2000


def test_a_waiting_request_can_be_cancelled() -> None:
    case = EngineCase(counts, n_slots=1)
    case.submit(1, "a", n_predict=5)
    case.submit(2, "b", n_predict=5)
    case.step()
    case.engine.cancel(2)
    case.run()
    assert (case.finished(2).reason, case.text(1)) == (Reason.CANCELLED, "bcdef")


def test_cancelling_what_has_ended_is_heard_by_nobody() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=1)
    case.run()
    case.engine.cancel(1)
    case.engine.cancel(99)
    case.run()
    assert case.finished(1).reason is Reason.LIMIT and list(case.heard) == [1]


def test_a_cancelled_slot_serves_the_next_one() -> None:
    case = EngineCase(hashes, n_slots=1)
    case.submit(1, "first prompt", n_predict=50)
    case.step(5)
    case.engine.cancel(1)
    case.submit(2, "second prompt", n_predict=10)
    case.run()
    assert case.text(2) == alone("second prompt", 10)


# ---- prefixes ------------------------------------------------------------------------------------------------------


def test_a_conversation_goes_on_from_its_computed_part() -> None:
    case = EngineCase(hashes)
    case.submit(1, "a conversation", n_predict=10)
    case.run()
    longer = "a conversation" + case.text(1) + " and more"
    case.submit(2, longer, n_predict=10)
    case.run()
    assert case.finished(2).n_cached == len("a conversation") + 9  # the last token was never computed
    assert case.finished(2).n_prompt == len(longer)
    assert case.text(2) == alone(longer, 10)


def test_a_prefix_is_taken_from_a_running_sequence() -> None:
    case = EngineCase(hashes, n_ctx=1000)
    prefix = "a long common beginning " * 10
    case.submit(1, prefix + "one", n_predict=30)
    case.step(8)
    case.submit(2, prefix + "two", n_predict=30)
    case.run()
    assert case.finished(2).n_cached >= len(prefix)
    assert case.text(1) == alone(prefix + "one", 30, n_ctx=1000)
    assert case.text(2) == alone(prefix + "two", 30, n_ctx=1000)


def test_requests_that_arrive_together_compute_their_common_part_once() -> None:
    case = EngineCase(hashes, n_ctx=1000)
    prefix = "p" * 300
    for request_id in range(4):
        case.submit(request_id, f"{prefix}{request_id}", n_predict=5)
    case.run()
    assert sum(sum(step.values()) for step in case.fake.steps) < 2 * 300
    assert len({case.text(request_id) for request_id in range(4)}) > 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("n_cells", "shares_cells"), [(4096, True), (420, True), (256, False)], ids=["ample", "short", "own"]
)
@pytest.mark.parametrize("prompt_cache_bytes", [0, 4000, 10**6])
@pytest.mark.parametrize(
    ("can_trim", "n_swa", "can_shift"), [(True, 0, True), (False, 0, True), (True, 8, False), (True, 0, False)]
)
def test_whatever_the_memory_is_replies_do_not_depend_on_what_was_cached(
    seed: int,
    n_cells: int,
    shares_cells: bool,
    prompt_cache_bytes: int,
    can_trim: bool,
    n_swa: int,
    can_shift: bool,
) -> None:
    """Random conversations, beside and after each other, against the same ones in a fresh engine."""

    def memory(n_seq_max: int = 0) -> FakeContext:
        kind = {"can_trim": can_trim, "n_swa": n_swa, "can_shift": can_shift, "shares_cells": shares_cells}
        return FakeContext(hashes, n_cells=n_cells, n_seq_max=n_seq_max, **kind)  # type: ignore[arg-type]

    source = random.Random(seed)
    case = EngineCase(
        hashes,
        n_slots=3,
        n_ctx=200,
        shift=False,
        context=memory(5 if shares_cells else 3),
        prompt_cache_bytes=prompt_cache_bytes,
    )
    prompts = ["".join(source.choices("ab", k=source.randint(1, 120))) for _ in range(4)]
    asked: dict[int, tuple[str, int]] = {}
    for request_id in range(25):
        earlier = [prompt + case.text(i) for i, (prompt, _) in asked.items()]
        prompt = source.choice([*prompts, *earlier])[: source.randint(1, 150)] + source.choice(["", "x", "yz"])
        asked[request_id] = (prompt, source.randint(1, 30))
        case.submit(request_id, prompt, n_predict=asked[request_id][1])
        case.step(source.randint(0, 20))
        if source.random() < 0.2:
            case.engine.cancel(request_id)
            asked.pop(request_id)
    case.run()
    assert prompt_cache_bytes or not shares_cells or case.fake.n_saved == 0
    for request_id, (prompt, n) in asked.items():
        fresh = EngineCase(hashes, n_ctx=200, shift=False, context=memory())
        fresh.submit(0, prompt, n_predict=n)
        fresh.run()
        assert case.text(request_id) == fresh.text(0)


# ---- the end of the context ----------------------------------------------------------------------------------------


def test_without_shift_a_full_context_ends_the_reply() -> None:
    case = EngineCase(counts, n_ctx=32, shift=False)
    case.submit(1, "a" * 10)
    case.run()
    assert case.finished(1).reason is Reason.CONTEXT
    assert case.finished(1).n_prompt + case.finished(1).n_generated == 32


def test_with_shift_a_reply_goes_on_past_the_context() -> None:
    case = EngineCase(counts, n_ctx=32)
    case.submit(1, "a" * 10, n_predict=100)
    case.run()
    assert case.text(1) == ("bcdefghijklmnopqrstuvwxyza" * 4)[:100]
    assert case.finished(1).reason is Reason.LIMIT


def test_a_shift_keeps_the_beginning_and_the_end() -> None:
    seen: list[tuple[int, ...]] = []

    def watch(tokens: tuple[int, ...]) -> int:
        seen.append(tokens)
        return counts(tokens)

    case = EngineCase(watch, n_ctx=32)
    case.submit(1, "KEEPa", n_predict=60, n_keep=4)
    case.run()
    assert all(bytes(tokens[:4]) == b"KEEP" for tokens in seen)
    assert max(map(len, seen)) < 32 and min(map(len, seen[32:])) > 14


def test_a_memory_that_cannot_shift_ends_the_reply_instead() -> None:
    case = EngineCase(counts, n_ctx=32, context=FakeContext(counts, can_shift=False))
    case.submit(1, "a", n_predict=100)
    case.run()
    assert case.finished(1).reason is Reason.CONTEXT


def test_a_shift_does_not_move_cells_under_others() -> None:
    """Two sequences share a prefix; one outgrows the context and shifts while the other goes on reading it."""
    prefix = "p" * 40
    case = EngineCase(hashes, n_slots=2, n_ctx=64)
    case.submit(1, prefix + "a", n_predict=60, n_keep=2)
    case.step(3)
    case.submit(2, prefix + "b", n_predict=20)
    case.run()
    fresh = EngineCase(hashes, n_slots=2, n_ctx=64)
    fresh.submit(2, prefix + "b", n_predict=20)
    fresh.run()
    assert case.finished(2).n_cached == 40 and case.text(2) == fresh.text(2)


def test_what_was_shifted_is_not_reused() -> None:
    case = EngineCase(counts, n_slots=1, n_ctx=32)
    case.submit(1, "KEEPabcdefghij", n_predict=40, n_keep=4)
    case.run()
    held = bytes(int(token) for token in case.fake.tokens_of(0)).decode()
    case.submit(2, held, n_predict=1)
    case.run()
    assert case.finished(2).n_cached <= 4


# ---- failures ------------------------------------------------------------------------------------------------------


def test_a_lost_context_fails_those_who_took_part_and_is_built_anew() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=5)
    case.step()
    case.fake.failures = [ContextLost("boom")]
    case.step()
    assert (case.failed(1).kind, case.failed(1).text) == (FailureKind.INTERNAL, "boom")
    case.submit(2, "a", n_predict=5)
    case.run()
    assert case.text(2) == "bcdef" and case.fake.n_rebuilt == 1


def test_those_who_did_not_take_part_in_a_lost_step_compute_again() -> None:
    case = EngineCase(hashes, n_slots=3, context=FakeContext(hashes, n_batch=2))
    for request_id in (1, 2, 3):
        case.submit(request_id, "a", n_predict=10)
    case.step(3)  # the batch has room for two
    case.fake.failures = [ContextLost("boom")]
    case.run()
    assert case.failed(1).text == case.failed(2).text == "boom"
    assert case.text(3) == alone("a", 10)


def test_a_refused_batch_fails_its_requests_only() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=5)
    case.fake.failures = [Outcome.REFUSED]
    case.step()
    assert case.failed(1).kind is FailureKind.INTERNAL
    case.submit(2, "a", n_predict=2)
    case.run()
    assert case.text(2) == "bc"


def test_when_cells_run_out_what_idle_slots_hold_goes_first() -> None:
    case = EngineCase(hashes, n_slots=2, n_ctx=100, context=FakeContext(hashes, n_cells=120))
    case.submit(1, "x" * 80, n_predict=2)
    case.run()
    case.submit(2, "y" * 80, n_predict=2)
    case.run()
    assert case.text(2) == alone("y" * 80, 2)


def test_a_sequence_that_finds_no_cells_waits_for_another_to_end() -> None:
    case = EngineCase(hashes, n_slots=2, n_ctx=100, context=FakeContext(hashes, n_cells=100))
    case.submit(1, "x" * 40, n_predict=30)
    case.submit(2, "y" * 50, n_predict=30)
    case.run()
    assert (case.text(1), case.text(2)) == (alone("x" * 40, 30), alone("y" * 50, 30))


def test_one_that_never_fits_fails_and_others_go_on() -> None:
    case = EngineCase(hashes, n_slots=2, n_ctx=100, context=FakeContext(hashes, n_cells=60))
    case.submit(1, "x" * 20, n_predict=30)
    case.submit(2, "y" * 70, n_predict=1)
    case.run()
    assert case.text(1) == alone("x" * 20, 30)
    assert case.failed(2).text == "the context has no room"


def test_logits_that_are_not_numbers_fail_that_sequence_only() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=3)
    case.submit(2, "n", n_predict=3)
    case.step()
    case.fake.bad_logits = {0}
    case.run()
    assert case.failed(1).kind is FailureKind.UNUSABLE_OUTPUT
    assert case.text(2) == "opq"


def test_what_is_not_a_number_does_not_stay_in_the_cells() -> None:
    case = EngineCase(counts)
    case.submit(1, "a", n_predict=3)
    case.submit(2, "n", n_predict=9)
    case.step()
    case.fake.bad_logits = {0}
    case.step()
    assert case.fake.n_rebuilt == 1 and case.fake.cells == []
    case.fake.bad_logits = set()
    case.submit(3, "f", n_predict=3)
    case.run()
    assert case.fake.n_rebuilt == 1 and case.text(2) == "opqrstuvw" and case.text(3) == "ghi"
