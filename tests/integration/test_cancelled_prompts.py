"""Clients that leave while their long prompt is computed: the runner stops, whichever way they asked."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ollama
import psutil
import pytest

from tests.conftest import StartServer
from tests.fakes.waiting import eventually
from tests.scripted_models import create_models
from tools.server_process import ServerProcess

pytestmark = pytest.mark.model

OPTIONS = {"num_ctx": 8192, "num_batch": 3, "num_predict": 1}
"""So small a batch makes two thousand steps of a long prompt."""
N_WORDS = 1200
"""Of about five tokens each: the context has room for all."""


@dataclass
class Scene:
    server: ServerProcess
    runner: psutil.Process
    whole_s: float
    """What a whole prompt costs, in seconds of a processor."""

    @property
    def computed_s(self) -> float:
        times = self.runner.cpu_times()
        return float(times.user + times.system)

    def settle(self) -> float:
        """What the runner has computed, when it computes no more."""
        end, seen, since = time.monotonic() + 30, -1.0, time.monotonic()
        while time.monotonic() - since < 0.3:
            assert time.monotonic() < end, "the runner does not stop"
            if self.computed_s != seen:
                seen, since = self.computed_s, time.monotonic()
            time.sleep(0.01)
        return seen


def whole_prompt(letter: str) -> str:
    """Begins like no other one, and costs the same."""
    return f"{letter}hole " * N_WORDS


@pytest.fixture(scope="module")
def scene(start_server: StartServer, tiny_model: Callable[[str], Path]) -> Scene:
    """A server that has computed a long prompt, so that it is known what that takes."""
    server = start_server(OLLAMA_NUM_PARALLEL="1")
    create_models(server, tiny_model, ["chat"])
    with ollama.Client(host=server.url) as client:
        client.generate("chat", "hi", options=OPTIONS, keep_alive=-1)
        (runner,) = psutil.Process(server.pid).children()
        scene = Scene(server, runner, 0.0)
        before_s = scene.settle()
        answer = client.generate("chat", whole_prompt("w"), options=OPTIONS)
        assert 4 * N_WORDS < answer.prompt_eval_count < OPTIONS["num_ctx"]
        scene.whole_s = scene.settle() - before_s
    return scene


@pytest.mark.parametrize(
    ("path", "stream", "letter"),
    [
        ("/api/generate", True, "a"),
        ("/api/generate", False, "b"),
        ("/api/chat", True, "c"),
        ("/api/chat", False, "d"),
    ],
)
def test_a_prompt_whose_client_left_is_computed_no_further(
    scene: Scene, path: str, letter: str, *, stream: bool
) -> None:
    assert scene.whole_s > 0.1, "too little to measure"
    prompt = whole_prompt(letter)
    asked = {"prompt": prompt, "messages": [{"role": "user", "content": prompt}]}
    body = json.dumps({"model": "chat", "stream": stream, "options": OPTIONS, **asked}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {scene.server.host}\r\nContent-Type: application/json\r\n"
    host, _, port = scene.server.host.partition(":")
    before_s = scene.computed_s
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert eventually(lambda: scene.computed_s > before_s + 0.1 * scene.whole_s, limit_s=20)
    left_s = scene.computed_s
    assert scene.settle() - left_s < 0.3 * scene.whole_s

    with ollama.Client(host=scene.server.url) as client:
        assert client.generate("chat", "hi", options=OPTIONS).done, "its slot is free"
    assert scene.runner.is_running()
