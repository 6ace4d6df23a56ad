"""What was computed serves again, and changes nothing that is said."""

from __future__ import annotations

import random

import pytest

from tests.fakes.context import FakeContext, hashes
from tests.models.engine.engine_case import EngineCase, alone


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
