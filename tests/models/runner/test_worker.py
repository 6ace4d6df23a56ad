"""The engine's thread and the courier, with a server that stops reading: what waits is bounded, and nothing is lost."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from models.engine.failures import to_cancelled
from models.runner import courier as courier_module
from models.runner import loading, worker
from models.runner.courier import Courier, Disconnected
from models.runner.lanes import Steps
from models.runner.messages import (
    FRAME_HEAD_BYTES,
    Cancel,
    Chunk,
    Finished,
    FromRunner,
    Generate,
    Ready,
    Reason,
    decode_from_runner,
    encode_frame,
)
from models.runner.settings import AdapterSet, RunnerConfig
from tests.fakes.waiting import eventually

CONFIG = RunnerConfig("model", n_ctx=64, n_parallel=2, n_batch=8, n_gpu_layers=0, n_threads=1)
READY = Ready(64, 64, 256, 1, 0, adds_bos=False)
CLOGGED = 50
TEXT = "x" * 1000
LIMIT_S = 20.0


class Endless:
    """Gives every request a chunk in each step, until it is cancelled."""

    def __init__(self) -> None:
        self.n_steps = 0
        self.adapter_sets: Collection[AdapterSet] = ()
        self._counts: dict[int, int] = {}
        self._said: list[FromRunner] = []
        self.n_said: dict[int, int] = {}
        """Chunks of those who were cancelled, until they were."""

    @property
    def has_work(self) -> bool:
        return bool(self._counts or self._said)

    def when_computed(self, call: Callable[[], None]) -> None: ...

    def prepare(self, request: Generate) -> Steps[Generate]:
        yield from ()
        return request

    def submit(self, task: Generate) -> None:
        self._counts[task.request_id] = 0

    def cancel(self, request_id: int) -> None:
        if (n_said := self._counts.pop(request_id, None)) is not None:
            self.n_said[request_id] = n_said
            self._said.append(to_cancelled(request_id))

    def step(self) -> Sequence[FromRunner]:
        self.n_steps += 1
        said, self._said = self._said, []
        for request_id in self._counts:
            said.append(Chunk(request_id, f"{self._counts[request_id]} {TEXT}"))
            self._counts[request_id] += 1
        return said


class Server:
    """The other end of the socket, which reads when it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.chunks: dict[int, list[str]] = {1: [], 2: []}
        self.ends: dict[int, Finished] = {}
        self._received = bytearray()

    def send(self, *messages: Generate | Cancel) -> None:
        for message in messages:
            self.socket.sendall(encode_frame(message))

    def read_until(self, is_enough: Callable[[], bool]) -> None:
        while not is_enough():
            self._take(self._frame())

    def _frame(self) -> FromRunner:
        while len(self._received) < FRAME_HEAD_BYTES or len(self._received) < self._end():
            data = self.socket.recv(1 << 16)
            assert data, "the runner hung up"
            self._received += data
        frame = bytes(self._received[FRAME_HEAD_BYTES : self._end()])
        del self._received[: self._end()]
        return decode_from_runner(frame)

    def _end(self) -> int:
        return FRAME_HEAD_BYTES + int.from_bytes(self._received[:FRAME_HEAD_BYTES], "big")

    def _take(self, message: FromRunner) -> None:
        if isinstance(message, Chunk):
            assert message.request_id not in self.ends, "a chunk after the end"
            self.chunks[message.request_id].append(message.text)
        elif isinstance(message, Finished):
            assert message.request_id not in self.ends, "two ends"
            self.ends[message.request_id] = message


class Inbox(queue.SimpleQueue[Any]):
    """Ends who reads it when it is given None; the engine's thread of a real runner ends with its process."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if (message := super().get(block, timeout)) is None:
            raise Disconnected
        return message


class Watched(Courier):
    """Counts how often it was asked in vain, so that nobody has to guess when the engine has stopped."""

    n_refused = 0

    def wait_until_flowing(self, timeout_s: float) -> bool:
        is_flowing = super().wait_until_flowing(timeout_s)
        self.n_refused += not is_flowing
        return is_flowing


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
def courier_and_server(endless: Endless, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Watched, Server]]:
    """A runner at work, of which only the model is a fake."""
    model = SimpleNamespace(vocab=None, adapters=None)
    monkeypatch.setattr(loading, "load", lambda config, on_progress: (model, endless, READY))
    monkeypatch.setattr(courier_module, "_CLOGGED", CLOGGED)
    ours, theirs = socket.socketpair()
    ours.settimeout(LIMIT_S)
    courier = Watched(theirs)
    inbox = Inbox()
    threads = [
        threading.Thread(target=_quietly, args=(lambda: courier.run(inbox.put),)),
        threading.Thread(target=_quietly, args=(lambda: worker._serve(CONFIG, courier, inbox),)),
    ]
    for thread in threads:
        thread.start()
    yield courier, Server(ours)
    ours.close()
    inbox.put(None)
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    courier.close()


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except Disconnected:
        return


def wait_until_stopped(courier: Watched) -> None:
    n_before = courier.n_refused
    assert eventually(lambda: courier.n_refused >= n_before + 3, LIMIT_S)


def numbers(chunks: Sequence[str]) -> list[int]:
    return [int(chunk.split()[0]) for chunk in chunks]


def test_a_server_that_does_not_read_stops_the_engine_and_loses_nothing(
    endless: Endless, courier_and_server: tuple[Watched, Server]
) -> None:
    courier, server = courier_and_server
    server.send(Generate(1, "a"), Generate(2, "b"))
    wait_until_stopped(courier)
    n_steps = endless.n_steps
    assert len(courier._waiting) <= CLOGGED + 2, "what waits is bounded"
    wait_until_stopped(courier)
    assert endless.n_steps == n_steps, "and nothing is computed any more"

    server.read_until(lambda: len(server.chunks[1]) > 2 * n_steps)
    assert endless.n_steps > 2 * n_steps, "it goes on where it was"
    server.send(Cancel(1), Cancel(2))
    server.read_until(lambda: len(server.ends) == 2)
    for request_id in (1, 2):
        assert numbers(server.chunks[request_id]) == list(range(len(server.chunks[request_id])))


def test_a_request_can_be_cancelled_while_nobody_reads(
    endless: Endless, courier_and_server: tuple[Watched, Server]
) -> None:
    courier, server = courier_and_server
    server.send(Generate(1, "a"), Generate(2, "b"))
    wait_until_stopped(courier)
    server.send(Cancel(1))
    assert eventually(lambda: 1 not in endless._counts), "heard of at once, not when there is room again"
    n_said = endless._counts[2]

    server.read_until(lambda: len(server.chunks[2]) > n_said + 10 and 1 in server.ends)
    assert server.ends[1].reason is Reason.CANCELLED
    assert numbers(server.chunks[1]) == list(range(len(server.chunks[1])))
    assert len(server.chunks[1]) == endless.n_said[1], "it got nothing more after that"
    assert 2 not in server.ends
