"""Tokens picked inside the graph, by the processor as backend: the same tokens, the same chances, whatever goes on.

Not tested here, as there is none: a GPU.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.llama_chain import chances
from models.builtin.install import WEIGHTS
from models.llama import backend_sampler
from models.llama.backend_trial import backend_should_pick
from models.llama.binding import lib, start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.runner.messages import Generate
from models.runner.process import RunnerProcess
from models.runner.settings import Adapter, AdapterSet, BackendSampling, Constraint, Sampling
from models.sampling.backend import GREEDY, BackendChain, chain_for
from models.sampling.chain import Floats
from tests.integration import tiny_architectures
from tests.integration.test_engine_state import CLOSE, N_CTX, N_SLOTS, CheckedContext, Driver, converse_at_random
from tests.integration.test_engine_worker import GREEDY as GREEDILY
from tests.integration.test_engine_worker import Model as TinyModel
from tests.integration.test_engine_worker import chat, say, with_runner

pytestmark = pytest.mark.model

USUAL = BackendChain(40, 0.9, 0.8)


# ---- the state that tokens come from -------------------------------------------------------------------------------


class PickingContext(CheckedContext):
    """Compares what the backend picks with what the tokens of its sequence give when they are computed alone."""

    def __init__(self, model: Model, params: ContextParams) -> None:
        self.chains: dict[int, BackendChain] = dict(enumerate(params.chains))
        super().__init__(model, params)
        self.n_picked = 0
        self.n_changes = 0
        self.n_mixed = 0

    def pick_by(self, seq_id: int, chain: BackendChain | None) -> None:
        self.n_changes += self.chains.get(seq_id) != chain
        self.chains.pop(seq_id, None)
        if chain is not None:
            self.chains[seq_id] = chain
        super().pick_by(seq_id, chain)

    def agrees(self, row: int, seq_id: int, wanted: Floats) -> bool:
        self.n_mixed += len({seq_id in self.chains for seq_id in self._outputs}) == 2
        chain = self.chains.get(seq_id)
        if chain is None:
            assert self.picked(row) is None
            return super().agrees(row, seq_id, wanted)
        token = self.picked(row)
        self.n_picked += 1
        return token is not None and bool(wanted[token] > np.partition(wanted, -chain.top_k)[-chain.top_k] - CLOSE)


class MixedDriver(Driver):
    """Of three requests one is greedy, one draws, and one needs logits."""

    def submit(self, request_id: int, prompt: str, n_predict: int, adapters: AdapterSet = ()) -> None:
        asked = Generate(request_id, prompt, GREEDILY, n_predict=n_predict, adapters=adapters)
        kinds = (
            asked,
            msgspec.structs.replace(asked, sampling=Sampling()),
            msgspec.structs.replace(asked, n_logprobs=1),
        )
        self.ask(kinds[request_id % 3])


@pytest.mark.parametrize("shares_cells", [True, False], ids=["shared cells", "own cells"])
def test_random_conversations_are_picked_from_the_right_state(model: Model, shares_cells: bool) -> None:
    params = ContextParams(
        n_ctx=N_CTX * N_SLOTS, n_batch=64, n_seq_max=N_SLOTS, n_threads=1, shares_cells=shares_cells,
        chains=(USUAL,) * N_SLOTS,
    )  # fmt: skip
    context = PickingContext(model, params)
    converse_at_random(MixedDriver(model, context, uses_backend=True), random.Random(1))
    assert context.n_checked > 100 and context.n_mixed > 20 and 50 < context.n_picked < context.n_checked
    context.close()


def test_so_are_those_that_move_or_wait_for_cells(model: Model) -> None:
    """Own cells, where those who run close ranks; shared ones, for fewer sequences than run."""
    params = ContextParams(
        n_ctx=N_CTX * 6, n_batch=64, n_seq_max=6, n_threads=1, shares_cells=False, chains=(USUAL,) * 6
    )
    moving = PickingContext(model, params)
    converse_at_random(
        MixedDriver(model, moving, prompt_cache_bytes=10**8, n_slots=6, uses_backend=True), random.Random(2)
    )
    assert moving.n_restored > 0 and moving.n_picked > 50 and moving.n_changes > 5
    moving.close()
    few_cells = ContextParams(n_ctx=N_CTX, n_batch=64, n_seq_max=N_SLOTS + 2, n_threads=1, chains=(USUAL,))
    crowded = PickingContext(model, few_cells)
    driver = MixedDriver(model, crowded, prompt_cache_bytes=10**8, uses_backend=True)
    converse_at_random(driver, random.Random(3), n_prompt=600, n_requests=20)
    assert crowded.n_picked > 50
    crowded.close()


def test_so_are_those_of_different_adapters(tmp_path: Path) -> None:
    path = tiny_architectures.write("attention", tmp_path / "model.gguf")
    files = [tiny_architectures.write_adapter(path, tmp_path / f"{seed}.gguf", seed=seed) for seed in (1, 2)]
    sets: list[AdapterSet] = [(), *((Adapter(str(file)),) for file in files)]
    params = ContextParams(n_ctx=N_CTX * N_SLOTS, n_batch=64, n_seq_max=N_SLOTS, n_threads=1, chains=(USUAL,) * N_SLOTS)
    with Model(str(path), n_gpu_layers=0) as model:
        context = PickingContext(model, params)
        converse_at_random(MixedDriver(model, context, uses_backend=True), random.Random(5), adapters=sets)
        assert context.n_checked > 100 and context.n_picked > 50
        context.close()


def test_greedy_replies_are_the_same_with_and_without(model: Model) -> None:
    def talk(*, uses_backend: bool) -> dict[int, str]:
        chains = (GREEDY, USUAL) if uses_backend else ()
        context = Context(model, ContextParams(n_ctx=1024, n_batch=64, n_seq_max=4, n_threads=1, chains=chains))
        driver = Driver(model, context, n_slots=4, uses_backend=uses_backend)  # type: ignore[arg-type]
        for request_id in range(10):
            driver.submit(request_id, f"{request_id} tells of old times, " * (request_id % 4 + 1), 30)
            driver.step(5)
        driver.run()
        context.close()
        return driver.text

    assert talk(uses_backend=True) == talk(uses_backend=False)


# ---- chances -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pico() -> Iterator[Model]:
    native_log.install()
    start_backends()
    with Model(str(WEIGHTS), n_gpu_layers=0) as model:
        yield model


DRAWS = {
    "defaults": Sampling(),
    "hot": Sampling(temperature=1.8, top_p=0.99),
    "cold": Sampling(temperature=0.4),
    "no nucleus": Sampling(top_p=1.0, temperature=1.0),
    "a nucleus of some": Sampling(top_p=0.92, top_k=100, temperature=1.8),
    "few": Sampling(top_k=3, top_p=1.0, temperature=1.5),
    "many": Sampling(top_k=128, top_p=0.95, temperature=1.5),
}
N_SEQUENCES, N_STEPS = 64, 160


@pytest.mark.parametrize("options", DRAWS.values(), ids=DRAWS)
def test_every_token_has_the_chance_that_llama_cpp_gives_it_here(pico: Model, options: Sampling) -> None:
    """Chi-square over 10,240 draws, 64 in a batch, which all continue the same text."""
    chain = chain_for(options, pico.vocab.n_tokens)
    assert chain is not None
    params = ContextParams(
        n_ctx=1024, n_batch=N_SEQUENCES + 1, n_seq_max=N_SEQUENCES + 1, n_threads=1, chains=(chain,) * N_SEQUENCES
    )
    context = Context(pico, params)
    text = pico.vocab.tokenize("Once upon a time there was a", add_special=True)
    context.batch.add(0, text[:-1], 0, output=False)
    assert context.decode() is Outcome.DONE
    for seq_id in range(1, N_SEQUENCES + 1):
        context.copy(0, seq_id)
    counts = np.zeros(pico.vocab.n_tokens)
    for _ in range(N_STEPS):
        _compute(context, range(N_SEQUENCES + 1), text)
        for row in range(N_SEQUENCES):
            token = context.picked(row)
            assert token is not None
            counts[token] += 1
    probs = chances(context.logits()[N_SEQUENCES], options)  # of the one without a chain
    context.close()
    assert counts[probs == 0].sum() == 0, "tokens were picked that the chain rules out"
    expected = probs * N_SEQUENCES * N_STEPS
    rare = (expected > 0) & (expected <= 5)
    observed = np.append(counts[expected > 5], counts[rare].sum())
    wanted = np.append(expected[expected > 5], max(expected[rare].sum(), 1e-9))
    if wanted[-1] < 5:
        observed, wanted = observed[:-1], wanted[:-1]
    assert len(wanted) > 2, "nothing is left to chance"
    chi_square = ((observed - wanted) ** 2 / wanted).sum()
    assert chi_square < len(wanted) + 5 * np.sqrt(2 * len(wanted)), "the chances differ"


def _compute(context: Context, seq_ids: Any, text: Any) -> None:
    """The last token of the text, for each of them, anew."""
    context.batch.clear()
    for seq_id in seq_ids:
        context.remove(seq_id, len(text) - 1)
        context.batch.add(seq_id, text[-1:], len(text) - 1, output=True)
    assert context.decode() is Outcome.DONE


# ---- chains come and go --------------------------------------------------------------------------------------------


def test_every_chain_is_freed_once(pico: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    freed: list[int] = []

    def make(*samplers: Any) -> Any:
        chain = make_chain(*samplers)
        made.append(id(chain))
        kept.append(chain)
        return chain

    def free(chain: Any) -> None:
        freed.append(id(chain))
        free_chain(chain)

    kept: list[Any] = []
    make_chain, free_chain = backend_sampler.make_chain, lib.llama_sampler_free
    monkeypatch.setattr(backend_sampler, "make_chain", make)
    monkeypatch.setattr(lib, "llama_sampler_free", free)
    params = ContextParams(n_ctx=1024, n_batch=64, n_seq_max=4, n_threads=1, chains=(USUAL,) * 2)
    context = Context(pico, params)
    driver = Driver(pico, context, n_slots=3, uses_backend=True)  # type: ignore[arg-type]
    for request_id in range(12):
        sampling = Sampling(temperature=0.1 * (request_id % 5))
        driver.ask(
            Generate(request_id, f"{request_id}. Once", sampling, n_predict=8, n_logprobs=request_id % 4 or None)
        )
        driver.step(3)
        if request_id % 3 == 0:
            driver.engine.cancel(request_id)
        assert len(made) - len(freed) <= 4, "at most one for each sequence"
    driver.run()
    assert made[2:], "requests brought chains of their own"
    context.rebuild()
    driver.submit(99, "Once upon a time", 5)
    driver.run()
    assert driver.text[99] and freed != made
    context.close()
    assert sorted(made) == sorted(freed)


def test_a_context_that_cannot_be_made_keeps_no_chains(pico: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[Any] = []
    free_chain = lib.llama_sampler_free
    monkeypatch.setattr(lib, "llama_sampler_free", lambda chain: (freed.append(chain), free_chain(chain)))
    monkeypatch.setattr(lib, "llama_init_from_model", lambda model, params: None)
    with pytest.raises(Exception, match="unable to create a context"):
        Context(pico, ContextParams(n_ctx=256, n_batch=64, n_seq_max=2, n_threads=1, chains=(USUAL, GREEDY)))
    assert len(freed) == 2


# ---- through a runner ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parallel", [1, 4])
def test_a_runner_says_the_same_with_it(tiny_model: TinyModel, n_parallel: int) -> None:
    """Greedy, seeded and constrained requests side by side; those with a seed or a constraint are sampled here."""
    asked: list[tuple[str, dict[str, object]]] = [
        (chat("json"), {}),
        (chat("json"), {"constraint": Constraint("json", "")}),
        (chat("count"), {"n_predict": 9}),
        (chat("count"), {"n_predict": 9, "n_logprobs": 2}),
        (chat("unicode"), {}),
        ("walk", {"sampling": Sampling(temperature=1.0, seed=7), "n_predict": 24}),
        ("walk", {"sampling": Sampling(temperature=1.0, seed=8), "n_predict": 24}),
        (chat("marker"), {"n_predict": 20, "sampling": Sampling(temperature=0, repeat_penalty=1.1)}),
    ]

    async def work(runner: RunnerProcess) -> None:
        said = await asyncio.gather(*(say(runner, prompt, **fields) for prompt, fields in asked * 2))
        replies.append([text for text, _ in said])

    replies: list[list[str]] = []
    for wanted in (BackendSampling.OFF, BackendSampling.ON):
        with_runner(tiny_model("chatml"), work, n_parallel=n_parallel, backend_sampling=wanted)
    assert replies[0] == replies[1]
    assert replies[0][: len(asked)] == replies[0][len(asked) :], "a seed gives the same again"


def test_drawn_replies_differ(tiny_model: TinyModel) -> None:
    async def work(runner: RunnerProcess) -> None:
        sampling = Sampling(temperature=1.0)
        said = await asyncio.gather(*(say(runner, "walk", sampling=sampling, n_predict=24) for _ in range(8)))
        assert len({text for text, _ in said}) > 4
        one_by_one = [(await say(runner, "walk", sampling=sampling, n_predict=24))[0] for _ in range(4)]
        assert len(set(one_by_one)) > 1, "each begins where the last one's random numbers ended"

    with_runner(tiny_model("bare"), work, n_parallel=4, backend_sampling=BackendSampling.ON)


# ---- the trial -----------------------------------------------------------------------------------------------------


TRIALS = [
    (BackendSampling.OFF, True, False),
    (BackendSampling.AUTO, False, False),
    (BackendSampling.ON, False, True),
    (BackendSampling.ON, True, True),
]


@pytest.mark.parametrize(("wanted", "is_gpu", "picks"), TRIALS)
def test_what_is_set_decides(model: Model, wanted: BackendSampling, is_gpu: bool, picks: bool) -> None:
    params = ContextParams(n_ctx=1024, n_batch=64, n_seq_max=4, n_threads=1)
    before = (native_log.buffers.host_bytes, native_log.buffers.device_bytes)
    assert backend_should_pick(model, params, wanted, n_sequences=2, is_gpu=is_gpu) is picks
    assert (native_log.buffers.host_bytes, native_log.buffers.device_bytes) == before


def test_a_model_that_computes_no_numbers_is_left_to_the_sampler(tmp_path: Path, caplog: Any) -> None:
    path = tiny_architectures.write("attention", tmp_path / "model.gguf")
    _spoil(path)
    params = ContextParams(n_ctx=256, n_batch=64, n_seq_max=2, n_threads=1)
    with Model(str(path), n_gpu_layers=0) as broken:
        assert not backend_should_pick(broken, params, BackendSampling.ON, n_sequences=2, is_gpu=False)
    assert "no chance" in caplog.text


def _spoil(path: Path) -> None:
    """Make the last norm's weights infinite."""
    import gguf

    reader = gguf.GGUFReader(path, "r+")
    next(tensor for tensor in reader.tensors if tensor.name == "output_norm.weight").data[:] = np.inf
