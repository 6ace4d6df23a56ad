"""Behaviours of the original that surprise, and that no recording can show, of a real server with tiny models."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import ollama
import pytest

from tests.conftest import StartServer
from tests.fakes.waiting import eventually
from tools.server_process import ServerProcess, puna_server

pytestmark = pytest.mark.model


@contextmanager
def client_of(server: ServerProcess, file: Path, *names: str) -> Iterator[ollama.Client]:
    """A client of a server that has the file's model under these names."""
    with ollama.Client(host=server.url) as client:
        digest = client.create_blob(file)
        for name in names:
            client.create(name, files={file.name: digest})
        yield client


def loaded(client: ollama.Client) -> list[str | None]:
    return [model.model for model in client.ps().models]


def test_a_deleted_model_stays_loaded(start_server: StartServer, tiny_model: Callable[[str], Path]) -> None:
    with client_of(start_server(), tiny_model("chatml"), "chat") as client:
        client.generate("chat", "hi")
        client.delete("chat")
        assert loaded(client) == ["chat:latest"]
        with pytest.raises(ollama.ResponseError, match="model 'chat' not found"):
            client.generate("chat", "hi")


def test_names_with_the_same_weights_share_what_is_loaded(
    start_server: StartServer, tiny_model: Callable[[str], Path]
) -> None:
    with client_of(start_server(), tiny_model("chatml"), "one", "two") as client:
        client.generate("one", "hi")
        client.generate("two", "hi")
        assert loaded(client) == ["one:latest"]
        client.generate("two", keep_alive=0)
        assert loaded(client) == []


def test_a_signal_breaks_off_streams_and_is_no_failure(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    asked = {"model": "chat", "prompt": "count", "options": {"num_predict": 100_000}}
    with puna_server(tmp_path) as server, client_of(server, tiny_model("chatml"), "chat"):
        with (
            pytest.raises(httpx.RemoteProtocolError),
            httpx.stream("POST", f"{server.url}/api/generate", json=asked, timeout=30) as answer,
        ):
            lines = answer.iter_lines()
            next(lines)
            os.kill(server.pid, signal.SIGTERM)
            for _ in lines:
                pass
        assert eventually(lambda: server.exit_code() == 0, limit_s=15)
