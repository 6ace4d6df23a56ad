"""Requests with different adapters side by side: each says what it says alone, and no state is mixed up."""

from __future__ import annotations

import itertools

import pytest

from models.errors import ContextLost
from models.llama.outcome import Outcome
from models.runner.messages import FailureKind
from models.runner.settings import Adapter, AdapterSet
from tests.fakes.context import FakeContext, hashes
from tests.models.engine.engine_case import EngineCase, alone

NONE: AdapterSet = ()
ONE, TWO = (Adapter("one", 1.0),), (Adapter("two", 2.0),)
BOTH = (*ONE, *TWO)
SETS = [NONE, ONE, TWO, BOTH]
PREFIX = "a prefix that all of them share, longer than what is computed in no time: " * 2


def test_each_set_says_something_else() -> None:
    assert len({alone(PREFIX, adapters=adapters) for adapters in SETS}) == len(SETS)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_side_by_side_each_says_what_it_says_alone(order: tuple[int, ...]) -> None:
    case = EngineCase(hashes)
    for i, which in enumerate((*order, *order)):
        case.submit(i, f"{PREFIX}{i}", n_predict=12, adapters=SETS[which])
        case.step()
    case.run()
    for i, which in enumerate((*order, *order)):
        assert case.text(i) == alone(f"{PREFIX}{i}", adapters=SETS[which])


def test_everybody_gets_a_token_in_each_step() -> None:
    case = EngineCase(hashes)
    for i, adapters in enumerate(SETS):
        case.submit(i, "x:", n_predict=50, adapters=adapters)
    case.step(3)
    n_said = [len(case.text(i)) for i in range(4)]
    case.step(5)
    assert [len(case.text(i)) for i in range(4)] == [n + 5 for n in n_said]


@pytest.mark.parametrize("shares_cells", [True, False])
def test_adapters_change_once_less_than_there_are_sets(shares_cells: bool) -> None:
    case = EngineCase(hashes, n_slots=9, context=FakeContext(hashes, shares_cells=shares_cells, n_seq_max=9))
    for i in range(6):
        case.submit(i, "x:", n_predict=50, adapters=SETS[i % 3])
    case.step(5)
    for i in range(6, 9):  # whose prompts are computed beside the others' tokens
        case.submit(i, str(i) * 60, n_predict=50, adapters=SETS[i % 3])
    n_switches = case.fake.n_switches
    case.step(10)
    assert case.fake.n_switches == n_switches + 2 * 10


def test_prefixes_are_reused_within_a_set_only() -> None:
    case = EngineCase(hashes)
    case.submit(1, PREFIX + "1", n_predict=3, adapters=ONE)
    case.run()
    for request_id, adapters, n_cached in ((2, NONE, 0), (3, TWO, 0), (4, ONE, len(PREFIX)), (5, NONE, len(PREFIX))):
        case.submit(request_id, PREFIX + str(request_id), n_predict=3, adapters=adapters)
        case.run()
        assert case.finished(request_id).n_cached == n_cached
        assert case.text(request_id) == alone(PREFIX + str(request_id), 3, adapters=adapters)


def test_the_scale_counts() -> None:
    half, whole = (Adapter("one", 0.5), Adapter("two", 0.5)), (Adapter("one", 1.0), Adapter("two", 0.0))
    case = EngineCase(hashes)
    case.submit(1, PREFIX, n_predict=3, adapters=half)
    case.run()
    case.submit(2, PREFIX, n_predict=3, adapters=whole)
    case.run()
    assert case.finished(2).n_cached == 0


def test_nobody_waits_for_a_prefix_of_another_set() -> None:
    case = EngineCase(hashes)
    case.submit(1, PREFIX + "1", n_predict=3, adapters=ONE)
    case.submit(2, PREFIX + "2", n_predict=3, adapters=TWO)
    case.submit(3, PREFIX + "3", n_predict=3, adapters=ONE)
    case.run()
    assert [case.finished(i).n_cached for i in (1, 2)] == [0, 0]
    assert case.finished(3).n_cached > len(PREFIX) / 2
    assert case.text(3) == alone(PREFIX + "3", 3, adapters=ONE)


@pytest.mark.parametrize("can_trim", [True, False], ids=["attention", "recurrent"])
def test_saved_states_come_back_to_their_set(can_trim: bool) -> None:
    context = FakeContext(hashes, can_trim=can_trim, n_cells=300)
    case = EngineCase(hashes, n_slots=1, context=context, prompt_cache_bytes=1_000_000)
    for request_id in range(12):
        adapters = SETS[request_id % 3]
        case.submit(request_id, PREFIX + str(request_id), n_predict=4, adapters=adapters)
        case.run()
        assert case.text(request_id) == alone(PREFIX + str(request_id), 4, adapters=adapters)
    assert context.n_restored > 0


def test_a_sequence_that_was_parked_goes_on_with_its_adapters() -> None:
    context = FakeContext(hashes, n_cells=150)
    case = EngineCase(hashes, context=context, prompt_cache_bytes=1_000_000)
    for i, adapters in enumerate(SETS[:3]):
        case.submit(i, f"{i}:", n_predict=80, adapters=adapters)
    case.run()
    assert [case.text(i) for i in range(3)] == [alone(f"{i}:", 80, adapters=SETS[i]) for i in range(3)]


def test_a_prefix_is_copied_within_a_set_only() -> None:
    context = FakeContext(hashes, shares_cells=False)
    case = EngineCase(hashes, context=context, prompt_cache_bytes=1_000_000)
    for i, adapters in enumerate((ONE, TWO, ONE, TWO)):
        case.submit(i, f"{PREFIX}{i}", n_predict=5, adapters=adapters)
    case.run()
    assert [case.finished(i).n_cached > 0 for i in range(4)] == [False, False, True, True]
    assert [case.text(i) for i in range(4)] == [alone(f"{PREFIX}{i}", 5, adapters=(ONE, TWO)[i % 2]) for i in range(4)]


def test_a_broken_adapter_fails_those_who_name_it() -> None:
    case = EngineCase(hashes)
    case.fake.broken = {"two"}
    for i, adapters in enumerate(SETS):
        case.submit(i, PREFIX, n_predict=12, adapters=adapters)
    case.run()
    for i in (2, 3):
        assert (case.failed(i).kind, case.failed(i).text) == (FailureKind.LOAD, "unable to load adapter two")
    assert [case.text(i) for i in (0, 1)] == [alone(PREFIX, adapters=adapters) for adapters in (NONE, ONE)]


@pytest.mark.parametrize("failure", [ContextLost("boom"), Outcome.REFUSED, Outcome.NO_ROOM])
def test_what_goes_wrong_for_one_set_does_not_garble_another(failure: ContextLost | Outcome) -> None:
    case = EngineCase(hashes)
    for i, adapters in enumerate(SETS):
        case.submit(i, f"{PREFIX}{i}", n_predict=12, adapters=adapters)
    case.step(6)
    case.fake.failures = [failure]
    case.run()
    ended = [i for i in range(4) if case.heard[i] and case.text(i) == alone(f"{PREFIX}{i}", adapters=SETS[i])]
    assert len(ended) >= 3, "at most the set that it happened to is told"


def test_the_sets_of_waiting_and_running_requests_are_known() -> None:
    case = EngineCase(hashes, n_slots=1)
    case.submit(1, "x:", n_predict=3, adapters=ONE)
    case.submit(2, "x:", n_predict=3, adapters=TWO)
    case.step()
    assert case.engine.adapter_sets == {ONE, TWO}
    case.run()
    assert case.engine.adapter_sets == set()
