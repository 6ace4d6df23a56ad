"""DRY against what it is defined to be: every earlier occurrence of the text's end, tried one by one."""

from __future__ import annotations

import numpy as np
import pytest

from models.runner.settings import Sampling
from models.sampling.chain import Candidates
from models.sampling.dry import Dry, find_breakers

N = 12


def expected(tokens: list[int], options: Sampling, breakers: set[int]) -> dict[int, float]:
    """The penalties, by brute force; single-token breakers only."""
    window = tokens[-options.dry_penalty_last_n :]
    if len(window) <= options.dry_allowed_length:
        return {}
    limit = next((i for i, token in enumerate(reversed(window)) if token in breakers), len(window))
    longest: dict[int, int] = {}
    for end in range(len(window) - 1):
        length = 0
        while length < min(limit, end + 1) and window[end - length] == window[-1 - length]:
            length += 1
        if length >= options.dry_allowed_length and limit >= options.dry_allowed_length:
            longest[window[end + 1]] = max(longest.get(window[end + 1], 0), length)
    return {
        token: options.dry_multiplier * options.dry_base ** (length - options.dry_allowed_length)
        for token, length in longest.items()
        if token not in breakers
    }


@pytest.mark.parametrize("allowed", [0, 1, 2, 4])
@pytest.mark.parametrize("last_n", [3, 10, 40])
def test_what_would_go_on_with_a_repetition_is_less_likely(allowed: int, last_n: int) -> None:
    options = Sampling(dry_multiplier=0.8, dry_base=1.5, dry_allowed_length=allowed, dry_penalty_last_n=last_n)
    source = np.random.default_rng(allowed * 100 + last_n)
    breakers = {0}
    dry = Dry(options, {token: [()] for token in breakers}, n_ctx=100)
    tokens: list[int] = []
    for _ in range(150):
        token = int(source.integers(0, 3)) if source.random() < 0.9 else 0
        tokens.append(token)
        dry.accept(token)
        logits = np.zeros(N, dtype=np.float32)
        dry.apply(logits)
        wanted = expected(tokens, options, breakers)
        assert {t: -logits[t] for t in np.flatnonzero(logits)} == pytest.approx(wanted)
        candidates = dry.apply_to(Candidates(np.array([2, 1, 7]), np.zeros(3, dtype=np.float32), True))
        assert candidates.logits.tolist() == [logits[2], logits[1], logits[7]]


def test_a_breaker_of_several_tokens_ends_a_repetition() -> None:
    options = Sampling(dry_multiplier=1.0, dry_allowed_length=2)
    without, with_one = Dry(options, {}, 100), Dry(options, {3: [(4,)]}, 100)
    for dry in (without, with_one):
        dry.accept_all([3, 4, 5, 6, 3, 4])
    free, broken = np.zeros(N, dtype=np.float32), np.zeros(N, dtype=np.float32)
    without.apply(free)
    with_one.apply(broken)
    assert free[5] == -1.0 and not broken.any()


def test_a_breaker_may_stand_within_a_token_or_begin_at_its_end() -> None:
    pieces = [b"a", b"x\n", b"end\n\ny", b"\n", b":", b"b\n"]
    assert find_breakers("\n", pieces, lambda text: [9]) == {1: [()], 2: [()], 3: [()], 5: [()]}
    assert find_breakers("\n:", pieces, lambda text: list(text.encode())) == {1: [(58,)], 3: [(58,)], 5: [(58,)]}


def test_endless_repetition_costs_no_more_than_a_long_one() -> None:
    dry = Dry(Sampling(dry_multiplier=1.0, dry_base=1.01, dry_penalty_last_n=-1), {}, n_ctx=4096)
    dry.accept_all([7] * 5000)
    logits = np.zeros(N, dtype=np.float32)
    dry.apply(logits)
    assert logits[7] == pytest.approx(-(1.01 ** (512 - 2)), rel=1e-3)


def test_penalties_beyond_all_numbers_are_bounded() -> None:
    dry = Dry(Sampling(dry_multiplier=3.0, dry_base=100.0), {}, n_ctx=64)
    dry.accept_all([7] * 64)
    logits = np.zeros(N, dtype=np.float32)
    dry.apply(logits)
    assert logits[7] < -1e37
