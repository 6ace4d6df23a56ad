"""What is cut when a prompt, or a generation, is longer than the context."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine.context_end import TOO_LONG, ContextRules, Shift, fit_prompt, plan_shift
from models.errors import ContextExceeded

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
