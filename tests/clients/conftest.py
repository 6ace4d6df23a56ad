"""Servers for the libraries to talk to, each a process of its own, and the libraries' clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.conftest import StartServer
from tests.scripted_models import create_models
from tools.server_process import ServerProcess


@pytest.fixture(scope="module")
def pico_server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    """A server that has the built-in model and a tiny embedder."""
    server = start_server("--with-builtin", PUNA_BUILTIN="1")
    create_models(server, tiny_model, ["bert"])
    return server


@pytest.fixture(scope="module")
def scripted_server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    """A server that has the scripted models chat, agent and bert."""
    server = start_server()
    create_models(server, tiny_model)
    return server


@pytest.fixture(scope="module")
def client(scripted_server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{scripted_server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(scripted_server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=scripted_server.url, api_key="unused", max_retries=0) as client:
        yield client
