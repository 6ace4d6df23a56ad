"""What the environment says of running models, as far as the runner hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from models.options import MAX_N_BATCH
from models.runner.settings import BackendSampling, KvType
from server.app import generation_settings
from server.placement import MAX_AUTOMATIC_SLOTS
from server.settings import Settings
from tests.server.test_generation import ScriptedRunner, chat, events, serving


def loaded(environment: dict[str, str], **options: Any) -> Any:
    """The configuration with which a model is loaded."""
    settings = generation_settings(Settings.from_env({"HOME": "/home/me"} | environment))
    generation, scheduler = serving(ScriptedRunner(["hi"]), settings=settings)
    events(generation.chat(chat(options=options)))
    return scheduler.wanted[0].config


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("OLLAMA_NUM_PARALLEL", "3", "n_parallel", 3),
        ("OLLAMA_NUM_PARALLEL", "0", "n_parallel", MAX_AUTOMATIC_SLOTS),
        ("OLLAMA_NUM_PARALLEL", "", "n_parallel", MAX_AUTOMATIC_SLOTS),
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
