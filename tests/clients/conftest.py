"""A server for the libraries to talk to: a process of its own, with the built-in model and a tiny embedder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ollama
import pytest

from tests.conftest import StartServer
from tools.server_process import ServerProcess


@pytest.fixture(scope="module")
def pico_server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    server = start_server("--with-builtin", PUNA_BUILTIN="1")
    path = tiny_model("bert")
    with ollama.Client(host=server.url) as client:
        client.create("bert", files={path.name: client.create_blob(path)})
    return server
