"""What every test stands on: an environment of its own, real server processes, tiny models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from bench.machine import ask_native
from tests.conformance import make_models
from tools.server_process import FOREIGN, ServerProcess, puna_server

# How fast a busy machine makes up examples says nothing about the code.
settings.register_profile("puna", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("puna")

NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # no server that a test starts reaches the network


@pytest.hookimpl(trylast=True)  # when those that `-m` does not want are gone
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where llama.cpp finds none."""
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if for_gpu and not ask_native().has_gpu:
        items[:] = [item for item in items if item not in for_gpu]
        config.hook.pytest_deselected(items=for_gpu)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str:
    """Say so where that was asked for, and nothing is left."""
    is_lacking = config.getoption("markexpr") == "gpu" and not items
    return "no GPU that llama.cpp was compiled for: see the README, Install" if is_lacking else ""


class StartServer(Protocol):
    def __call__(self, *arguments: str, **settings: str) -> ServerProcess: ...


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the user's home, settings or proxies, and no process that it starts does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith(FOREIGN):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny_model("chatml")` is the GGUF file of a scripted model (tests/conformance/make_models.py), made once."""
    folder = tmp_path_factory.mktemp("tiny-models")
    return lambda name: make_models.make(name, folder)


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """`start_server("--with-builtin", OLLAMA_KEEP_ALIVE="1s")` starts a Puna with an empty store of its own.

    All are stopped when the module's tests are done, and must then have ended by themselves, not by a crash.
    """
    with ExitStack() as running:
        servers: list[ServerProcess] = []

        def start(*arguments: str, **settings: str) -> ServerProcess:
            server = puna_server(tmp_path_factory.mktemp("server"), *arguments, settings=NOWHERE | settings)
            servers.append(running.enter_context(server))
            return server

        yield start
        crashed = [f"{s.exit_code()}\n{s.log_end()}" for s in servers if s.exit_code() is not None]
    assert not crashed, f"a server ended during the tests with exit status {crashed[0]}"


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    """One Puna for all tests of a module: empty store, no built-in model."""
    return start_server()
