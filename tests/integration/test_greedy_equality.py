"""Whatever else an engine computes meanwhile, and keeps of before: greedy replies are those of an engine that does one
request, in one slot, in an empty context, and nothing else.

Every architecture class that llama.cpp has a memory for talks with many clients at once, at random: prompts that begin
alike, chats that go on where they ended or are edited in the middle, requests that are cancelled, contexts that shift,
cells that do not suffice. What it says is compared token by token.

Other batches round differently, and the best two of almost equal logits may change places. That is accepted where the
best two of the lonely request were closer than `TIE`; what follows then is another reply. It must be rare, and is: one
request in a thousand without flash attention, which adds up in half precision.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np
import pytest

from models.engine.context_end import ContextRules
from models.engine.loop import Engine
from models.engine.ports import Blob, Floats, Tokens, TokenSampler
from models.engine.prepare import Preparer
from models.engine.radix import K, RadixTree
from models.llama.context import Context, ContextParams
from models.llama.model import Model
from models.runner.lanes import run_through
from models.runner.messages import Chunk, Finished, Generate, Reason
from models.runner.settings import Sampling

pytestmark = pytest.mark.model

N_SLOTS = 4
N_REQUESTS = 40
TIE = 0.05
"""Logits have a standard deviation of about 8: one token in fifty is so close to being another."""
MOST_TIES = N_REQUESTS // 20
TICK_NS = 1_000_000
"""What an engine thinks that passes between two looks at the clock: what it decides does not depend on the machine."""
N_KEEP = 8
BYTES = range(2, 256)
"""Tokens that are text, and if their last bit is another, too."""


KINDS = ("new", "new", "long", "on", "cut", "edited", "again")
"""Prompts: a beginning that others have, too, with an end of its own; the same for a long reply; a chat that goes on,
with what a shift has left of it; one cut off somewhere; one with another token near its end; an earlier prompt. The
last four are given new ends."""


@dataclass(frozen=True)
class Layout:
    """The room that sequences have; `n_cells` for all of them together."""

    n_cells: int
    n_seq_max: int = N_SLOTS
    shares_cells: bool = True
    n_ctx: int = 768
    shift: bool = False

    @property
    def params(self) -> ContextParams:
        return ContextParams(
            n_ctx=self.n_cells,
            n_batch=64,
            n_seq_max=self.n_seq_max,
            n_threads=1,
            shares_cells=self.shares_cells,
            flash_attention=False,
        )

    @property
    def rules(self) -> ContextRules:
        return ContextRules(n_ctx=self.n_ctx, n_ctx_seq=self.n_ctx, shift=self.shift, adds_bos=False)


LAYOUTS = {
    "shared cells": Layout(4 * 768, n_seq_max=8),
    "own cells": Layout(4 * 768, shares_cells=False),
    "few cells": Layout(1024, n_seq_max=8),
    "shifts, shared cells": Layout(4 * 256, n_seq_max=8, n_ctx=256, shift=True),
    "shifts, own cells": Layout(4 * 256, shares_cells=False, n_ctx=256, shift=True),
}


class CountingContext(Context):
    """Counts what must have happened for a test to say anything."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        super().__init__(model, params)
        self.n_copied = self.n_restored = 0

    def copy(self, source: int, target: int) -> None:
        super().copy(source, target)
        self.n_copied += 1

    def restore(self, seq_id: int, blob: Blob) -> bool:
        restored = super().restore(seq_id, blob)
        self.n_restored += restored
        return restored


class Recorder:
    """A sampler that remembers what it took, and by how much the best was better than the second."""

    def __init__(self, sampler: TokenSampler) -> None:
        self.tokens: list[int] = []
        self.margins: list[float] = []
        self.matcher = sampler.matcher
        self.forced, self.force = sampler.forced, sampler.force
        self._sampler = sampler

    def sample(self, logits: Floats) -> int:
        second, best = np.partition(logits, -2)[-2:]
        self.margins.append(float(best - second))
        self.tokens.append(self._sampler.sample(logits))
        return self.tokens[-1]


@dataclass
class Reply:
    """One request, and what became of it."""

    request: Generate
    recorder: Recorder
    end: Finished | None = None

    @property
    def prompt(self) -> tuple[int, ...]:
        assert self.request.tokens is not None
        return self.request.tokens

    @property
    def left(self) -> list[int]:
        """What the context has of prompt and reply at the end."""
        assert self.end is not None
        tokens = [*self.prompt, *self.recorder.tokens]
        return tokens[:N_KEEP] + tokens[N_KEEP + self.end.n_shifted :]


class Talk:
    """An engine and those who speak with it."""

    def __init__(self, model: Model, context: Context, rules: ContextRules, *, n_slots: int, prompt_cache_bytes: int):
        self._clock_ns = 0
        self._preparer = Preparer(model.vocab, rules)
        self.engine = Engine(
            context,
            model.vocab,
            rules,
            n_slots=n_slots,
            prompt_cache_bytes=prompt_cache_bytes,
            clock_ns=self._tick,
        )
        self.replies: dict[int, Reply] = {}

    def _tick(self) -> int:
        self._clock_ns += TICK_NS
        return self._clock_ns

    def ask(self, request: Generate) -> Reply:
        task = run_through(self._preparer.prepare(request))
        recorder = Recorder(task.sampler)
        self.engine.submit(replace(task, sampler=recorder))
        reply = self.replies[request.request_id] = Reply(request, recorder)
        return reply

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            for event in self.engine.step():
                assert isinstance(event, Chunk | Finished), event
                if isinstance(event, Finished):
                    reply = self.replies[event.request_id]
                    assert reply.end is None, "two final answers"
                    reply.end = event

    def finish(self) -> None:
        while self.engine.has_work:
            self.step()


@dataclass
class Clients:
    """Ask at random: of `source` it depends what, when, and whether they stay to the end."""

    talk: Talk
    source: random.Random
    layout: Layout
    kinds: Sequence[str]
    _roots: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        # Where contexts shift, cells that others share are not moved but computed again, from the half that is left,
        # which gives other states. Common beginnings that end in the first half are moved along with nobody's cells.
        longest = 100 if self.layout.shift else 350
        self._roots = [self._text(self.source.randint(80, longest)) for _ in range(3)]

    def come_and_go(self, n: int) -> None:
        for request_id in range(n):
            n_at_once = self.source.choice((1, 1, 1, 3))  # some come together
            self.talk.ask(self._request(request_id))
            if request_id % n_at_once == 0:
                self.talk.step(self.source.randint(0, 12))
            open_ids = [reply.request.request_id for reply in self.talk.replies.values() if reply.end is None]
            if open_ids and self.source.random() < 0.2:
                self.talk.engine.cancel(self.source.choice(open_ids))
        self.talk.finish()

    def _request(self, request_id: int) -> Generate:
        source, n_ctx = self.source, self.layout.n_ctx
        ended = [reply for reply in self.talk.replies.values() if reply.end is not None]
        kind = source.choice(self.kinds) if ended else "new"
        n_predict = source.randint(1, 40)
        if kind in ("new", "long"):
            root = source.choice(self._roots)
            prompt = root[: source.randint(len(root) // 2, len(root))] + self._text(source.randint(1, 20))
            if kind == "long":
                n_predict = n_ctx - len(prompt) + source.choice((30, 30, 150)) if self.layout.shift else 80
        else:
            before = source.choice(ended[-8:])
            prompt = [*before.prompt]
            if kind != "again":
                prompt += before.recorder.tokens
            if kind == "on":
                prompt = before.left
            if kind == "cut":
                prompt = prompt[: source.randint(len(prompt) // 2, len(prompt))]
            if kind == "edited":
                prompt[-source.randint(1, 10)] ^= 1
            prompt += self._text(source.randint(1, 20))
            prompt = prompt[: n_ctx - 60]
        return greedily(request_id, prompt, n_predict)

    def _text(self, n: int) -> list[int]:
        return self.source.choices(BYTES, k=n)


def greedily(request_id: int, prompt: Sequence[int], n_predict: int) -> Generate:
    greedy = Sampling(temperature=0)
    return Generate(request_id, "", greedy, n_predict=n_predict, n_keep=N_KEEP, tokens=tuple(map(int, prompt)))


Lonely = Callable[[Generate], Reply]


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Layout:
    return LAYOUTS[request.param]


@pytest.fixture
def context(model: Model, layout: Layout) -> Iterator[CountingContext]:
    context = CountingContext(model, layout.params)
    yield context
    context.close()


@pytest.fixture
def lonely(model: Model, layout: Layout) -> Iterator[Lonely]:
    """Answers a request in a new engine with an empty context."""
    context = Context(model, layout.params)

    def answer(request: Generate) -> Reply:
        context.rebuild()
        talk = Talk(model, context, layout.rules, n_slots=1, prompt_cache_bytes=0)
        reply = talk.ask(request)
        talk.finish()
        assert reply.end is not None and reply.end.n_cached == 0
        return reply

    yield answer
    context.close()


def compare(replies: Sequence[Reply], lonely: Lonely) -> tuple[int, list[str]]:
    """How many are others after a tie, and what is wrong with those that are others for no such reason."""
    n_ties, wrong = 0, []
    for reply in replies:
        wanted = lonely(reply.request)
        tokens, wanted_tokens = reply.recorder.tokens, wanted.recorder.tokens
        assert reply.end is not None and wanted.end is not None
        if reply.end.reason is Reason.CANCELLED:
            wanted_tokens = wanted_tokens[: len(tokens)]
        elif tokens == wanted_tokens and reply.end.reason is not wanted.end.reason:
            wrong.append(f"request {reply.request.request_id}: {reply.end.reason}, not {wanted.end.reason}")
        pairs = enumerate(zip_longest(tokens, wanted_tokens))
        at = next((i for i, (token, wanted_token) in pairs if token != wanted_token), None)
        if at is None:
            continue
        if at < len(wanted_tokens) and wanted.recorder.margins[at] < TIE:
            n_ties += 1
        else:
            wrong.append(f"request {reply.request.request_id} says something else from token {at} on: {reply.end}")
    return n_ties, wrong


def converse(
    model: Model, context: Context, layout: Layout, prompt_cache_bytes: int, kinds: Sequence[str] = KINDS
) -> list[Reply]:
    talk = Talk(model, context, layout.rules, n_slots=N_SLOTS, prompt_cache_bytes=prompt_cache_bytes)
    Clients(talk, random.Random(f"{layout} {prompt_cache_bytes}"), layout, kinds).come_and_go(N_REQUESTS)
    return list(talk.replies.values())


@pytest.mark.parametrize("prompt_cache_bytes", [0, 10**8], ids=["no host memory", "host memory"])
def test_greedy_replies_are_those_of_a_lonely_request(
    model: Model, context: CountingContext, lonely: Lonely, layout: Layout, prompt_cache_bytes: int
) -> None:
    replies = converse(model, context, layout, prompt_cache_bytes)
    n_ties, wrong = compare(replies, lonely)
    assert not wrong, "\n".join(wrong)
    assert n_ties <= MOST_TIES

    ends = [reply.end for reply in replies if reply.end is not None]
    assert len(ends) == N_REQUESTS
    assert 0 < sum(end.reason is Reason.CANCELLED for end in ends) < N_REQUESTS // 3
    if context.can_trim or prompt_cache_bytes:
        assert sum(end.n_cached for end in ends) > sum(end.n_prompt for end in ends) // 10
    assert context.n_copied or not (context.can_trim and layout.shares_cells)
    assert context.n_restored or not prompt_cache_bytes
    assert any(end.n_shifted for end in ends) == (layout.shift and context.can_shift)


@pytest.mark.parametrize("prompt_cache_bytes", [0, 10**8], ids=["no host memory", "host memory"])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if LAYOUTS[name].shift], indirect=True)
def test_a_chat_goes_on_where_its_context_has_shifted(
    model: Model, context: CountingContext, lonely: Lonely, layout: Layout, prompt_cache_bytes: int
) -> None:
    """Cells that have moved are those of tokens that saw others, which are gone. Where none can, the reply ends."""
    talk = Talk(model, context, layout.rules, n_slots=N_SLOTS, prompt_cache_bytes=prompt_cache_bytes)
    source, n_shifted = random.Random(0), 0
    for number in range(4):
        prompt = tuple(source.choices(BYTES, k=100))
        first = talk.ask(greedily(2 * number, prompt, layout.n_ctx - 70))
        talk.finish()
        assert first.end is not None
        n_shifted += first.end.n_shifted
        talk.ask(greedily(2 * number + 1, [*first.left, *prompt[:5]], 20))
        talk.finish()
    n_ties, wrong = compare(list(talk.replies.values()), lonely)
    assert not wrong, "\n".join(wrong)
    assert n_ties <= 1 and (n_shifted > 0) == context.can_shift


@pytest.mark.parametrize("layout", ["shared cells"], indirect=True)
def test_a_wrong_state_would_be_noticed(
    model: Model, context: CountingContext, lonely: Lonely, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index of prefixes takes some tokens for others."""
    monkeypatch.setattr("models.engine.holders.RadixTree", CarelessTree)
    _, wrong = compare(converse(model, context, layout, 10**8, ["new", *["edited"] * 4]), lonely)
    assert len(wrong) > MOST_TIES


class CarelessTree(RadixTree[K]):
    def put(self, key: K, tokens: Tokens, kind: Hashable = ()) -> None:
        super().put(key, tokens | 1, kind)

    def matches(self, prompt: Tokens, kind: Hashable = ()) -> Iterator[tuple[int, K]]:
        return super().matches(prompt | 1, kind)
