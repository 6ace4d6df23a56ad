"""Clients that leave at random moments: nothing leaks, and the next client is served."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import ollama
import psutil
import pytest

from tests.conftest import StartServer
from tests.scripted_models import GREETING, create_models
from tools.server_process import ServerProcess

pytestmark = pytest.mark.model

SETTLE_S = 20.0


@pytest.fixture(scope="module")
def server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    """A server with the scripted model `chat` loaded."""
    server = start_server()
    create_models(server, tiny_model, ["chat"])
    with ollama.Client(host=server.url) as client:
        client.generate("chat", "hi", keep_alive=-1)
    return server


def request_bytes(server: ServerProcess, rng: random.Random) -> bytes:
    few, some = ({"num_predict": n} for n in (40, 400))
    asks: list[tuple[str, dict[str, object]]] = [
        ("/api/generate", {"prompt": "repeat", "options": some}),
        ("/api/chat", {"messages": [{"role": "user", "content": "count"}], "options": some}),
        ("/api/generate", {"prompt": "count " * rng.randrange(1, 300), "stream": False, "options": few}),
    ]
    path, ask = rng.choice(asks)
    body = json.dumps({"model": "chat", **ask}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def ask_and_leave(server: ServerProcess, rng: random.Random) -> None:
    """Leave before the request is whole, right after it, or after some bytes of the answer."""
    host, _, port = server.host.partition(":")
    request = request_bytes(server, rng)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        match rng.randrange(4):
            case 0:
                connection.sendall(request[: rng.randrange(len(request))])
            case 1:
                connection.sendall(request)
            case 2:
                connection.sendall(request)
                connection.recv(rng.randrange(1, 200))
            case _:
                connection.sendall(request)
                wanted = rng.randrange(200, 5000)
                while wanted > 0 and (data := connection.recv(4096)):
                    wanted -= len(data)


def settled(server: ServerProcess) -> tuple[int, int]:
    """Open files and sockets, and resident bytes, of the server with its runner, once they no longer fall."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    end, seen, since = time.monotonic() + SETTLE_S, -1, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < 0.5:
        n_files = sum(process.num_fds() for process in processes)
        if n_files != seen:
            seen, since = n_files, time.monotonic()
        time.sleep(0.05)
    return seen, sum(process.memory_info().rss for process in processes)


def test_two_hundred_clients_that_leave_take_nothing_with_them(server: ServerProcess) -> None:
    rng = random.Random(0)
    for _ in range(60):  # buffers and pools grow to their size
        ask_and_leave(server, rng)
    n_files, resident = settled(server)
    n_processes = len(psutil.Process(server.pid).children(recursive=True))

    for _ in range(200):
        ask_and_leave(server, rng)

    began = time.monotonic()
    with ollama.Client(host=server.url, timeout=30) as client:
        assert client.generate("chat", "hi").response == GREETING
    assert time.monotonic() - began < 5, "the slots are not free"
    n_files_after, resident_after = settled(server)
    assert n_files_after <= n_files + 2
    assert resident_after <= resident * 1.05
    assert len(psutil.Process(server.pid).children(recursive=True)) == n_processes
