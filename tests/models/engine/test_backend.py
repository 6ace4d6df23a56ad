"""Tokens that the backend picks, beside those that are sampled from logits."""

from __future__ import annotations

import pytest

from models.runner.lanes import run_through
from models.runner.messages import FailureKind, Generate
from models.runner.settings import Constraint, Sampling
from models.sampling.backend import GREEDY, BackendChain
from tests.fakes.context import ByteVocabulary, FakeContext, hashes, says
from tests.models.engine.engine_case import EngineCase, alone

PROMPT = "a prompt"

ON_HOST = {
    "logprobs": {"n_logprobs": 2},
    "a constraint": {"constraint": Constraint("regex", "[a-z]*")},
    "a bias": {"sampling": Sampling(temperature=0, logit_bias=((5, 1.0),))},
    "a penalty": {"sampling": Sampling(temperature=0, repeat_penalty=1.00001)},
    "mirostat": {"sampling": Sampling(temperature=0, mirostat=2)},
    "an order": {"sampling": Sampling(samplers=("top_k", "temperature"), top_k=1)},
}


def case_on_backend(**fields: object) -> EngineCase:
    return EngineCase(hashes, uses_backend=True, **fields)  # type: ignore[arg-type]


def test_what_the_backend_picks_is_what_the_sampler_would() -> None:
    case = case_on_backend()
    for request_id in range(6):
        case.submit(request_id, f"{PROMPT} {request_id}", n_predict=20)
    case.run()
    assert set(case.fake.chains.values()) == {GREEDY}
    for request_id in range(6):
        assert case.text(request_id) == alone(f"{PROMPT} {request_id}", 20)
        assert case.finished(request_id).n_generated == 20


@pytest.mark.parametrize("fields", ON_HOST.values(), ids=ON_HOST)
def test_who_needs_logits_gets_them_beside_those_who_do_not(fields: dict[str, object]) -> None:
    case = case_on_backend()
    case.submit(1, PROMPT, n_predict=12)
    case.submit(2, "another prompt", n_predict=12, **fields)
    case.submit(3, "a third", n_predict=12)
    case.step(3)
    assert len(case.fake.chains) == 2
    case.run()
    assert case.text(1) == alone(PROMPT)
    assert case.text(2) == alone("another prompt", **fields)
    assert case.text(3) == alone("a third")


@pytest.mark.parametrize("fields", ON_HOST.values(), ids=ON_HOST)
def test_a_slot_serves_one_kind_after_the_other(fields: dict[str, object]) -> None:
    case = case_on_backend(n_slots=1)
    kinds: list[dict[str, object]] = [{}, fields, {}, fields]
    for request_id, kind in enumerate(kinds):
        case.submit(request_id, PROMPT, n_predict=7, **kind)
    case.run()
    for request_id, kind in enumerate(kinds):
        assert case.text(request_id) == alone(PROMPT, 7, **kind)


def test_nothing_is_left_to_the_backend_where_it_is_not_used() -> None:
    case = EngineCase(hashes)
    case.submit(1, PROMPT, n_predict=5)
    case.run()
    assert case.fake.chains == {}


def test_a_model_with_suppressed_tokens_is_sampled_here() -> None:
    case = case_on_backend(vocabulary=ByteVocabulary(suppressed=[3]))
    assert run_through(case.preparer.prepare(Generate(1, PROMPT))).chain is None


def test_a_request_that_says_nothing_gets_the_usual_chain() -> None:
    assert run_through(case_on_backend().preparer.prepare(Generate(1, PROMPT))).chain == BackendChain(40, 0.9, 0.8)


def test_stops_and_ends_are_found_in_what_the_backend_picks() -> None:
    case = EngineCase(says("one, two"), uses_backend=True)
    case.submit(1, "q:", stop=(", ",))
    case.submit(2, "q:")
    case.run()
    assert (case.text(1), case.text(2)) == ("one", "one, two")
    assert case.finished(2).n_generated == 9


def test_what_is_not_a_number_fails_and_the_context_is_made_anew() -> None:
    context = FakeContext(hashes, n_seq_max=4)
    case = case_on_backend(context=context)
    case.submit(1, PROMPT, n_predict=9)
    case.submit(2, "another prompt", n_predict=9)
    case.step(2)
    context.bad_logits = {case.engine._slots.running[0].seq_id}
    case.step()
    context.bad_logits = set()
    case.run()
    assert case.failed(1).kind is FailureKind.UNUSABLE_OUTPUT
    assert context.n_rebuilt == 1
    assert case.text(2) == alone("another prompt", 9)


def test_a_moved_sequence_is_picked_for_where_it_is() -> None:
    context = FakeContext(hashes, shares_cells=False, n_seq_max=4, n_cells=256)
    case = case_on_backend(context=context, prompt_cache_bytes=10**6)
    for request_id in range(4):
        case.submit(request_id, f"{PROMPT} {request_id}", n_predict=5 if request_id in (1, 2) else 40)
    case.run()
    assert context.n_restored > 0, "nobody was moved"
    for request_id in range(4):
        assert case.text(request_id) == alone(f"{PROMPT} {request_id}", 5 if request_id in (1, 2) else 40)


def test_the_cancelled_are_heard_of_no_more() -> None:
    case = case_on_backend()
    case.submit(1, PROMPT)
    case.submit(2, "another prompt", n_predict=9)
    case.step(3)
    case.engine.cancel(1)
    case.run()
    assert case.finished(1).reason == "cancelled"
    assert case.text(2) == alone("another prompt", 9)
