"""What is cut when a prompt, or a generation, is longer than the context."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.context_end import TOO_LONG, ContextRules, Shift, fit_prompt, plan_shift
from models.errors import ContextExceeded
from models.runner.messages import Reason
from tests.fakes.context import FakeContext, counts, hashes
from tests.models.engine.engine_case import EngineCase

EIGHT = ContextRules(n_ctx=8, n_ctx_seq=256, shift=True, adds_bos=False)


def fit(
    n: int, rules: ContextRules = EIGHT, *, n_keep: int = 0, truncate: bool = True, n_bytes: int = 999
) -> list[int]:
    tokens = np.arange(n, dtype=np.int32)
    return fit_prompt(tokens, n_bytes, n_keep=n_keep, truncate=truncate, rules=rules).tolist()


@pytest.mark.parametrize(
    ("n", "n_keep", "adds_bos", "expected"),
    [
        (10, 3, False, [0, 1, 2, 7, 8, 9]),  # the example of prompting 3.2
        (10, 2, True, [0, 1, 2, 7, 8, 9]),  # BOS is kept besides
        (7, 3, False, [0, 1, 2, 3, 4, 5, 6]),  # fits
        (8, 0, False, [4, 5, 6, 7]),
        (10, -1, False, [0, 1, 2, 3, 4, 5, 6]),  # keep all: the end goes
        (10, 50, False, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_long_prompt_loses_its_middle(n: int, n_keep: int, adds_bos: bool, expected: list[int]) -> None:
    rules = ContextRules(n_ctx=8, n_ctx_seq=256, shift=True, adds_bos=adds_bos)
    assert fit(n, rules, n_keep=n_keep) == expected


def test_a_prompt_with_fewer_bytes_than_the_context_has_tokens_is_left_alone() -> None:
    assert len(fit(10, n_bytes=7)) == 10


def test_without_shift_a_long_prompt_is_refused_in_ollamas_words() -> None:
    rules = ContextRules(n_ctx=8, n_ctx_seq=256, shift=False, adds_bos=False)
    with pytest.raises(ContextExceeded) as raised:
        fit(10, rules)
    assert str(raised.value) == TOO_LONG


def test_without_truncation_the_engines_own_refusal_names_the_rounded_context() -> None:
    with pytest.raises(ContextExceeded) as raised:
        fit(302, truncate=False)
    assert str(raised.value) == (
        '{"error":{"code":400,"message":"request (302 tokens) exceeds the available context size (256 tokens), '
        'try increasing it","type":"exceed_context_size_error","n_prompt_tokens":302,"n_ctx":256}}'
    )


def test_without_truncation_a_prompt_may_use_the_rounded_context() -> None:
    assert len(fit(255, truncate=False)) == 255
    with pytest.raises(ContextExceeded):
        fit(256, truncate=False)


@pytest.mark.parametrize(
    ("n_computed", "n_keep", "adds_bos", "expected"),
    [
        (31, 4, False, Shift(4, 13)),
        (31, 4, True, Shift(5, 13)),
        (31, -1, False, Shift(10, 10)),  # all of a prompt of 10
        (31, 100, False, Shift(28, 1)),  # four tokens are left to move in
        (31, 0, False, Shift(0, 15)),
    ],
)
def test_a_full_context_drops_half_of_what_need_not_be_kept(
    n_computed: int, n_keep: int, adds_bos: bool, expected: Shift
) -> None:
    rules = ContextRules(n_ctx=32, n_ctx_seq=32, shift=True, adds_bos=adds_bos)
    assert plan_shift(n_computed, 10, n_keep, rules) == expected


# ---- in the engine -------------------------------------------------------------------------------------------------


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


def test_what_the_context_lost_while_it_generated_is_told() -> None:
    case = EngineCase(counts, n_ctx=16)
    case.submit(1, "abcdef", n_predict=40, n_keep=2)
    case.submit(2, "abcdef", n_predict=4)
    case.run()
    assert case.finished(1).n_shifted > 0
    assert case.finished(2).n_shifted == 0
