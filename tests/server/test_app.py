"""What the environment says of running models, as far as the runner hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from models.gguf.facts import GGUFFacts
from models.gguf.layers import LayerFacts
from models.library import ModelSpec
from models.memory import sequence_cost
from models.options import MAX_N_BATCH
from models.runner.settings import BackendSampling, KvType, RunnerConfig
from registry.manifest import ModelConfig
from server.app import generation_settings
from server.generation import Generation
from server.placement import Devices
from server.requests import EmbedRequest
from server.sequences import choose_sequences
from server.settings import Settings
from tests.server.generation_case import ScriptedRunner, chat, events, run, serving, spec
from tests.server.scheduler_case import Starter, scheduler


def loaded(environment: dict[str, str], **options: Any) -> Any:
    """The configuration with which a model is loaded."""
    settings = generation_settings(Settings.from_env({"HOME": "/home/me"} | environment))
    generation, scheduler = serving(ScriptedRunner("hi"), settings=settings)
    events(generation.chat(chat(options=options)))
    return scheduler.wanted[0].config


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("OLLAMA_KV_CACHE_TYPE", "q8_0", "kv_type", KvType.Q8_0),
        ("OLLAMA_KV_CACHE_TYPE", "Q4_0", "kv_type", KvType.Q4_0),
        ("OLLAMA_KV_CACHE_TYPE", "q3", "kv_type", KvType.F16),
        ("OLLAMA_FLASH_ATTENTION", "1", "flash_attention", True),
        ("OLLAMA_FLASH_ATTENTION", "0", "flash_attention", False),
        ("OLLAMA_FLASH_ATTENTION", "", "flash_attention", None),
        ("OLLAMA_CONTEXT_LENGTH", "64", "n_ctx", 64),
        ("PUNA_PROMPT_CACHE", "5M", "prompt_cache_bytes", 5 * 1024 * 1024),
        ("PUNA_PROMPT_CACHE", "0", "prompt_cache_bytes", 0),
        ("PUNA_MLOCK", "1", "use_mlock", True),
        ("PUNA_BACKEND_SAMPLING", "on", "backend_sampling", BackendSampling.ON),
    ],
)
def test_the_environment_reaches_the_runner(name: str, text: str, field: str, value: object) -> None:
    assert getattr(loaded({name: text}), field) == value


@pytest.mark.parametrize(("flash_attention", "kv_type"), [("0", KvType.F16), ("1", KvType.Q8_0), ("", KvType.Q8_0)])
def test_without_flash_attention_a_cache_is_not_quantized(
    flash_attention: str, kv_type: KvType, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": flash_attention}
    assert loaded(environment).kv_type == kv_type
    assert ("needs flash attention" in caplog.text) == (kv_type is KvType.F16)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"num_batch": 64}, "n_batch", 64),
        ({"num_batch": 10**9}, "n_batch", 4 * MAX_N_BATCH),
        ({"num_thread": 3}, "n_threads", 3),
        ({"use_mmap": False}, "use_mmap", False),
        ({"num_ctx": 50}, "n_ctx", 50),
    ],
)
def test_so_do_the_options_of_a_request(options: dict[str, Any], field: str, value: object) -> None:
    assert getattr(loaded({}, **options), field) == value


# --------------------------------------------------------------------------------------------------------------------
# Sequences: counted by the scheduler, when it starts the runner

GIB = 1024**3
LAYER = LayerFacts(weights_bytes=128 * 1024**2, kv_elements=2048)
FACTS = GGUFFacts(architecture="llama", n_ctx_train=8192, n_embd=2048, n_ff=8192, n_vocab=128_000, layers=(LAYER,) * 32)
"""A model of 4 GiB whose contexts of 4,096 tokens take half a GiB each."""


def started(environment: dict[str, str], devices: Devices, model: ModelSpec) -> RunnerConfig:
    """The configuration with which the runner of a model is started."""
    settings = generation_settings(Settings.from_env({"HOME": "/home/me"} | environment))
    start = Starter()
    generation = Generation(lambda name: model, scheduler(start, devices=devices), settings, lambda: devices)
    run(generation.embed(EmbedRequest(model="m")))  # of nothing: the model is loaded
    return start.started[0].config


@pytest.mark.parametrize(
    ("text", "total_gib", "n_parallel", "n_cells"),
    [
        pytest.param("", 1024, 4, 4 * 4096, id="not set, plenty of memory"),
        pytest.param("3", 64, 3, 3 * 4096, id="three"),
        pytest.param("3", 16, 3, 3 * 4096, id="three on a smaller machine"),
        pytest.param("3", 4, 3, 4096, id="three on a machine that is too small"),
        pytest.param("1", 64, 1, 4096, id="one"),
        pytest.param("0", 64, 4, 4 * 4096, id="automatic"),
        pytest.param("", 64, 4, 4 * 4096, id="not set"),
        pytest.param("", 4, 1, 4096, id="not set, a machine that is too small"),
    ],
)
def test_num_parallel_is_what_it_says_or_what_memory_holds(
    text: str, total_gib: int, n_parallel: int, n_cells: int
) -> None:
    machine = Devices(total_gib * GIB, total_gib * GIB)
    config = started({"OLLAMA_NUM_PARALLEL": text}, machine, spec(facts=FACTS))
    assert (config.n_parallel, config.n_cells) == (n_parallel, n_cells)


def test_short_contexts_are_for_more_requests_at_once() -> None:
    config = started({"OLLAMA_CONTEXT_LENGTH": "256"}, Devices(64 * GIB, 64 * GIB), spec(facts=FACTS))
    assert (config.n_parallel, config.n_cells) == (8, 8 * 256)


@pytest.mark.parametrize("total_gib", [5, 6, 8, 12, 16, 24, 32, 64, 256])
def test_a_runner_has_what_the_rule_says(total_gib: int) -> None:
    machine = Devices(total_gib * GIB, total_gib * GIB)
    config = started({}, machine, spec(facts=FACTS))
    chosen = choose_sequences(sequence_cost(FACTS, config), machine.room(-1))
    assert (config.n_parallel, config.n_cells) == (chosen.n_parallel, chosen.n_cells)


@pytest.mark.parametrize(
    "model",
    [
        spec(facts=FACTS, config=ModelConfig(model_family="qwen3vl")),
        spec(facts=FACTS, capabilities=("embedding",)),
    ],
    ids=["a family that runs alone", "an embedding model"],
)
@pytest.mark.parametrize("text", ["", "3"])
def test_some_models_have_a_single_sequence(model: ModelSpec, text: str) -> None:
    machine = Devices(1024 * GIB, 1024 * GIB)
    assert started({"OLLAMA_NUM_PARALLEL": text}, machine, model).n_parallel == 1
