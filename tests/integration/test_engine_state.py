"""Whatever is batched, reused, copied or evicted: the state that logits come from is the one its tokens would give.

Every architecture class that llama.cpp has a memory for is driven at random, and each row of logits is compared with
those of an empty context that computes the same tokens from the start.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.engine.context_end import ContextRules
from models.engine.loop import Engine
from models.engine.ports import Blob, Floats, Tokens
from models.engine.prefix import WORTH_WAITING
from models.engine.prepare import Preparer
from models.llama.context import Context, ContextParams
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.runner.lanes import run_through
from models.runner.messages import Finished, Generate, Reason
from models.runner.settings import AdapterSet, Sampling

pytestmark = pytest.mark.model

N_SLOTS = 3
N_CTX = 768
CLOSE = 0.25
"""Logits have a standard deviation of about 8; a wrong state is off by several."""


class CheckedContext(Context):
    """Knows which tokens each sequence should stand for, and computes them from the start to compare."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        super().__init__(model, params)
        self._reference = Context(model, replace(params, chains=()))
        self._believed: dict[int, list[int]] = {}
        self._added: list[tuple[int, int]] = []
        self._outputs: list[int] = []
        self._saved: list[tuple[Blob, list[int]]] = []
        self.n_restored = 0
        self.n_checked = 0
        self.n_computed = 0
        self._add = self.batch.add
        self.batch.add = self._watch  # type: ignore[method-assign]

    def _watch(self, seq_id: int, tokens: Tokens, position: int, *, output: bool, every: bool = False) -> None:
        believed = self._believed.setdefault(seq_id, [])
        assert len(believed) == position
        believed += tokens.tolist()
        self._added.append((seq_id, len(tokens)))
        if output:
            self._outputs.append(seq_id)
        self._add(seq_id, tokens, position, output=output, every=every)

    def decode(self) -> Outcome:
        added, self._added = self._added, []
        outcome = super().decode()
        if outcome is Outcome.NO_ROOM:
            for seq_id, n in added:
                del self._believed[seq_id][-n:]
            self._outputs = []
            return outcome
        assert outcome is Outcome.DONE
        self.n_computed += self.batch.n_tokens
        for row, seq_id in enumerate(self._outputs):
            wanted = self._compute_anew(self._believed[seq_id])
            assert self.agrees(row, seq_id, wanted), f"the state of sequence {seq_id} is not what it should be"
            self.n_checked += 1
        self._outputs = []
        return outcome

    def agrees(self, row: int, seq_id: int, wanted: Floats) -> bool:
        """Whether what came of a row is what its sequence's tokens give when they are computed from the start."""
        return bool(np.abs(self.logits()[row] - wanted).max() < CLOSE)

    def _compute_anew(self, tokens: list[int]) -> Floats:
        reference = self._reference
        reference.use_adapters(self.adapters)
        reference.forget(0)
        for start in range(0, len(tokens), reference.n_batch):
            part = np.array(tokens[start : start + reference.n_batch], dtype=np.int32)
            reference.batch.clear()
            reference.batch.add(0, part, start, output=start + len(part) == len(tokens))
            assert reference.decode() is Outcome.DONE
        return reference.logits()[0]

    def remove(self, seq_id: int, start: int) -> bool:
        removed = super().remove(seq_id, start)
        if removed:
            del self._believed.setdefault(seq_id, [])[start:]
        return removed

    def forget(self, seq_id: int) -> None:
        super().forget(seq_id)
        self._believed[seq_id] = []

    def copy(self, source: int, target: int) -> None:
        super().copy(source, target)
        self._believed[target] = list(self._believed[source])

    def save(self, seq_id: int) -> Blob | None:
        blob = super().save(seq_id)
        assert blob is not None
        self._saved.append((blob, list(self._believed[seq_id])))
        return blob

    def restore(self, seq_id: int, blob: Blob) -> bool:
        restored = super().restore(seq_id, blob)
        tokens = next(tokens for saved, tokens in self._saved if saved is blob)
        self._believed[seq_id] = list(tokens) if restored else []
        self.n_restored += restored
        return restored

    def close(self) -> None:
        super().close()
        self._reference.close()


@pytest.fixture(params=[True, False], ids=["shared cells", "own cells"])
def context(model: Model, request: pytest.FixtureRequest) -> Iterator[CheckedContext]:
    params = ContextParams(
        n_ctx=N_CTX * N_SLOTS, n_batch=64, n_seq_max=N_SLOTS, n_threads=1, shares_cells=request.param
    )
    context = CheckedContext(model, params)
    yield context
    context.close()


class Driver:
    """An engine on a checked context."""

    def __init__(
        self,
        model: Model,
        context: CheckedContext,
        *,
        shift: bool = False,
        n_ctx: int = N_CTX,
        prompt_cache_bytes: int = 0,
        n_slots: int = N_SLOTS,
        uses_backend: bool = False,
    ) -> None:
        rules = ContextRules(n_ctx=n_ctx, n_ctx_seq=n_ctx, shift=shift, adds_bos=False)
        self.engine = Engine(context, model.vocab, rules, n_slots=n_slots, prompt_cache_bytes=prompt_cache_bytes)
        self._preparer = Preparer(model.vocab, rules, uses_backend=uses_backend)
        self.text: dict[int, str] = {}
        self.ends: dict[int, Finished] = {}

    def submit(self, request_id: int, prompt: str, n_predict: int, adapters: AdapterSet = ()) -> None:
        self.ask(Generate(request_id, prompt, Sampling(temperature=0), n_predict=n_predict, adapters=adapters))

    def ask(self, request: Generate) -> None:
        self.engine.submit(run_through(self._preparer.prepare(request)))
        self.text[request.request_id] = ""

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            for event in self.engine.step():
                if isinstance(event, Finished):
                    self.ends[event.request_id] = event
                else:
                    assert not hasattr(event, "kind"), event
                    self.text[event.request_id] += event.text  # type: ignore[union-attr]

    def run(self) -> None:
        while self.engine.has_work:
            self.step()


@pytest.fixture
def crowded(model: Model) -> Iterator[CheckedContext]:
    """More sequences than run, and cells for fewer."""
    context = CheckedContext(model, ContextParams(n_ctx=N_CTX, n_batch=64, n_seq_max=N_SLOTS + 2, n_threads=1))
    yield context
    context.close()


@pytest.mark.parametrize("seed", range(3))
def test_random_conversations_never_see_a_wrong_state(model: Model, context: CheckedContext, seed: int) -> None:
    converse_at_random(Driver(model, context), random.Random(seed))
    assert context.n_checked > 100


@pytest.mark.parametrize("seed", range(3))
def test_nor_when_replies_that_end_leave_gaps(model: Model, seed: int) -> None:
    params = ContextParams(n_ctx=N_CTX * 6, n_batch=64, n_seq_max=6, n_threads=1, shares_cells=False)
    context = CheckedContext(model, params)
    converse_at_random(Driver(model, context, prompt_cache_bytes=10**8, n_slots=6), random.Random(seed))
    assert context.n_checked > 100 and context.n_restored > 0
    context.close()


@pytest.mark.parametrize("seed", range(3))
def test_nor_when_states_are_saved_and_restored(model: Model, crowded: CheckedContext, seed: int) -> None:
    converse_at_random(
        Driver(model, crowded, prompt_cache_bytes=10**8), random.Random(seed), n_prompt=600, n_requests=30
    )
    assert crowded.n_checked > 100 and crowded.n_restored > 0


def converse_at_random(
    driver: Driver,
    source: random.Random,
    *,
    n_prompt: int = 350,
    n_requests: int = 20,
    adapters: Sequence[AdapterSet] = ((),),
) -> None:
    roots = ["".join(source.choices("abcdef ", k=source.randint(20, n_prompt))) for _ in range(3)]
    prompts: list[str] = []
    for request_id in range(n_requests):
        root = source.choice([*roots, *prompts])
        prompt = root[: source.randint(1, len(root))] + "".join(source.choices("xyz", k=source.randint(0, 12)))
        prompts.append(prompt)
        driver.submit(request_id, prompt, source.randint(1, 25), adapters[request_id % len(adapters)])
        driver.step(source.randint(0, 10))
        if source.random() < 0.25:
            driver.engine.cancel(request_id)
    driver.run()
    for round_number in range(2):  # by now nothing of them is in the context, or too much
        for number, root in enumerate(roots):
            driver.submit(
                1000 + 10 * round_number + number, root + "and once more", 3, adapters[number % len(adapters)]
            )
            driver.run()


def test_one_that_outgrows_the_window_can_be_continued(model: Model, context: CheckedContext) -> None:
    driver = Driver(model, context)
    text = "a long story " * 30
    driver.submit(1, text, 10)
    driver.run()
    driver.submit(2, text[:200] + "and another end", 10)  # a sliding window has moved on from there
    driver.run()
    driver.submit(3, text + driver.text[1][:2], 10)
    driver.run()
    assert set(driver.ends) == {1, 2, 3}


def test_a_prefix_is_reused_where_the_memory_can(model: Model, context: CheckedContext) -> None:
    driver = Driver(model, context)
    driver.submit(1, "the common part of two prompts, and one", 3)
    driver.run()
    driver.submit(2, "the common part of two prompts, and two", 3)
    driver.run()
    expected = len("the common part of two prompts, and ") if context.can_trim else 0
    assert driver.ends[2].n_cached == expected


def test_prompts_that_arrive_together_compute_their_common_part_once(model: Model, context: CheckedContext) -> None:
    driver = Driver(model, context)
    common = "the common part of three prompts, at some length, " * 4
    for request_id, end in enumerate(("and one", "or two", "but three")):
        driver.submit(request_id, common + end, 3)
    driver.run()
    first, *others = (driver.ends[request_id].n_cached for request_id in range(3))
    assert first == 0 and all(n_cached > len(common) - WORTH_WAITING for n_cached in others)


def test_a_generation_past_the_context_shifts_or_ends(model: Model) -> None:
    n_ctx = 256
    context = Context(model, ContextParams(n_ctx=n_ctx * N_SLOTS, n_batch=64, n_seq_max=N_SLOTS, n_threads=1))
    driver = Driver(model, context, shift=True, n_ctx=n_ctx)  # type: ignore[arg-type]
    driver.submit(1, "x" * 200, 150)
    driver.submit(2, "x" * 200 + "y", 20)
    driver.run()
    assert driver.ends[1].reason in ((Reason.LIMIT, Reason.STOP) if context.can_shift else (Reason.CONTEXT,))
    assert driver.ends[2].reason in (Reason.LIMIT, Reason.STOP)
    context.close()


def test_greedy_replies_are_the_same_with_and_without_the_cache(model: Model) -> None:
    """One after the other in one slot, so that every conversation finds its place taken: turns of three chats."""
    chats = {name: f"{name} begins a long conversation about the weather. " * 3 for name in "abc"}

    def talk(prompt_cache_bytes: int) -> tuple[list[str], int]:
        context = Context(model, ContextParams(n_ctx=N_CTX, n_batch=64, n_seq_max=1, n_threads=1))
        driver = Driver(model, context, prompt_cache_bytes=prompt_cache_bytes, n_slots=1)  # type: ignore[arg-type]
        texts, n_cached = dict(chats), 0
        for turn in range(3):
            for number, name in enumerate(texts):
                request_id = 10 * turn + number
                driver.submit(request_id, texts[name] + "<reply>", 20)
                driver.run()
                n_cached += driver.ends[request_id].n_cached
                texts[name] += driver.text[request_id] + f" That was turn {turn} of {name}, and now for the next. "
        context.close()
        return list(texts.values()), n_cached

    with_cache, n_cached = talk(10**8)
    without, n_cached_without = talk(0)
    assert with_cache == without
    assert n_cached > 4 * 150 and n_cached_without < 20, "turns 2 and 3 of all three go on from saved states"


def test_the_test_would_notice(model: Model, context: CheckedContext) -> None:
    """One token of another kind in the middle of the state, and the check fails."""
    driver = Driver(model, context)
    driver.submit(1, "a prompt", 10)
    driver.step(2)
    slot = driver.engine._slots.running[0]
    context._believed[slot.seq_id][5] += 1
    with pytest.raises(AssertionError, match="not what it should be"):
        driver.step(2)
