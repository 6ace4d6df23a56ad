from __future__ import annotations

from dataclasses import replace

import pytest

from models.gguf.facts import GGUFFacts
from models.gguf.layers import LayerFacts
from models.memory import SequenceCost, cache_bytes, compute_bytes, memory_need, sequence_cost
from models.runner.settings import KvType, RunnerConfig

FACTS = GGUFFacts(
    architecture="llama",
    size_bytes=5000,
    n_ctx_train=4096,
    n_embd=256,
    n_ff=512,
    n_vocab=1000,
    layers=(LayerFacts(weights_bytes=1000, kv_elements=256),) * 4,
    shared_bytes=500,
)
CONFIG = RunnerConfig(model_path="m", n_ctx=2048, n_parallel=1, n_batch=512, n_gpu_layers=0, n_threads=1)


def with_layers(*layers: LayerFacts) -> GGUFFacts:
    return replace(FACTS, layers=layers)


@pytest.mark.parametrize(
    ("facts", "n_ctx", "kv_type", "n_bytes"),
    [
        (FACTS, 2048, KvType.F16, 4 * 2048 * 256 * 2),
        (FACTS, 2000, KvType.F16, 4 * 2048 * 256 * 2),
        (FACTS, 2048, KvType.Q8_0, 4 * 2048 * 256 * 17 // 16),
        (FACTS, 2048, KvType.Q4_0, 4 * 2048 * 256 * 9 // 16),
        (with_layers(LayerFacts(kv_elements=8, window=512)), 16384, KvType.F16, 1024 * 8 * 2),
        (with_layers(LayerFacts(kv_elements=8, window=512)), 256, KvType.F16, 256 * 8 * 2),
        (with_layers(LayerFacts(state_elements=100)), 16384, KvType.Q4_0, 400),
        (with_layers(), 16384, KvType.F16, 0),
    ],
)
def test_what_one_sequence_keeps(facts: GGUFFacts, n_ctx: int, kv_type: KvType, n_bytes: int) -> None:
    assert cache_bytes(facts, n_ctx, kv_type) == n_bytes


def test_buffers_grow_with_context_batch_and_sequences() -> None:
    usual = compute_bytes(FACTS, 2048, 512)
    logits = 2 * 4000
    assert usual == 512 * (4 * (3 * 256 + 3 * 512) + 4096) + logits
    assert compute_bytes(FACTS, 2048, 1024) == 2 * usual - logits
    assert compute_bytes(FACTS, 2048, 4096) == 4 * usual - 3 * logits, "no batch is larger than the context"
    assert compute_bytes(FACTS, 2048, 256) == (usual + logits) // 2
    assert compute_bytes(FACTS, 4096, 512) == usual + 512 * 4096
    assert compute_bytes(FACTS, 2048, 512, n_sequences=3) == usual + 2 * logits
    assert compute_bytes(replace(FACTS, pooling_type=1), 2048, 512) == usual - logits


@pytest.mark.parametrize(
    ("n_embd", "n_ff", "n_vocab", "n_cells", "n_sequences", "measured_mib"),
    [
        (576, 1536, 49152, 2048, 1, 15.5 + 0.2),
        (576, 1536, 49152, 16384, 8, 29.5 + 1.5),
        (2048, 8192, 128256, 2048, 1, 66.0 + 0.5),
        (2048, 8192, 128256, 16384, 8, 80.0 + 3.9),
    ],
)
def test_the_estimate_meets_what_llama_cpp_reports(
    n_embd: int, n_ff: int, n_vocab: int, n_cells: int, n_sequences: int, measured_mib: float
) -> None:
    facts = replace(FACTS, n_embd=n_embd, n_ff=n_ff, n_vocab=n_vocab)
    estimate = compute_bytes(facts, n_cells, 512, n_sequences=n_sequences)
    assert estimate / 2**20 == pytest.approx(measured_mib, rel=0.1)


def test_a_short_context_needs_no_full_batch() -> None:
    assert compute_bytes(FACTS, 64, 512) == 64 * (4 * (3 * 256 + 3 * 512) + 512) + 2 * 4000


def test_the_need_of_a_runner_counts_every_sequence_and_file() -> None:
    one = memory_need(FACTS, CONFIG)
    four = memory_need(FACTS, replace_config(n_parallel=4), others_bytes=77)
    assert one.weights_bytes == 4500 and four.weights_bytes == 4577
    assert four.cache_bytes == 4 * one.cache_bytes
    assert one.total_bytes == one.weights_bytes + one.cache_bytes + one.compute_bytes


def test_sequences_may_share_fewer_cells_than_they_may_use_each() -> None:
    shared = memory_need(FACTS, replace_config(n_parallel=4, n_cells=3072))
    one = memory_need(FACTS, CONFIG)
    assert shared.cache_bytes == one.cache_bytes * 3 // 2


def test_every_sequence_has_its_own_window_and_state() -> None:
    facts = with_layers(LayerFacts(kv_elements=8, window=512), LayerFacts(state_elements=100))
    assert cache_bytes(facts, 4 * 16384, n_sequences=4) == (4 * 512 + 512) * 8 * 2 + 4 * 400


def test_windows_in_cells_of_their_own_have_a_batch_each() -> None:
    facts = with_layers(LayerFacts(kv_elements=8, window=512))
    assert cache_bytes(facts, 4 * 16384, n_sequences=4, shares_cells=False) == 4 * (512 + 512) * 8 * 2
    assert cache_bytes(facts, 4 * 512, n_sequences=4, shares_cells=False) == 4 * 512 * 8 * 2
    assert cache_bytes(facts, 16384, n_batch=2048) == (512 + 2048) * 8 * 2


def test_finished_sequences_that_stay_have_a_row_of_logits_each() -> None:
    own, shared = (memory_need(FACTS, replace_config(n_parallel=4, n_cells=n)) for n in (0, 8192 - 256))
    assert shared.compute_bytes - own.compute_bytes == 512 * 2 * (8192 - 256 - 2048) + 4 * 8 * FACTS.n_vocab


@pytest.mark.parametrize(
    ("facts", "own_bytes", "context_bytes"),
    [
        (FACTS, 8000, 4 * 2048 * 256 * 2),
        (replace(FACTS, n_ctx_train=1024), 8000, 4 * 1024 * 256 * 2),
        (with_layers(LayerFacts(state_elements=100)), 8000 + 400, 512 * 4096),
        (with_layers(LayerFacts(kv_elements=8, window=512)), 8000 + 512 * 16, 512 * 16),
    ],
    ids=["attention", "a short training context", "a state", "a window"],
)
def test_what_a_further_sequence_takes(facts: GGUFFacts, own_bytes: int, context_bytes: int) -> None:
    one = memory_need(facts, replace_config(n_parallel=1), others_bytes=77).total_bytes
    cost = sequence_cost(facts, CONFIG, others_bytes=77)
    assert cost == SequenceCost(min(2048, facts.n_ctx_train), one, own_bytes, context_bytes)
    two = memory_need(facts, replace_config(n_parallel=2), others_bytes=77).total_bytes
    assert one + own_bytes + context_bytes == two


def test_no_context_beyond_training_is_counted() -> None:
    assert memory_need(FACTS, replace_config(n_ctx=100_000)) == memory_need(FACTS, replace_config(n_ctx=4096))


def test_without_tensors_the_file_counts() -> None:
    assert memory_need(replace(FACTS, layers=(), shared_bytes=0), CONFIG).weights_bytes == 5000


def replace_config(**changes: int) -> RunnerConfig:
    return RunnerConfig(**{"model_path": "m", "n_ctx": 2048, "n_parallel": 1, "n_batch": 512, "n_gpu_layers": 0,
                           "n_threads": 1, **changes})  # type: ignore[arg-type]  # fmt: skip
