"""Answers made of events, over a real socket: framing, errors, clients that leave or are slow."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import BadRequest, ModelNotFound, RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished, TokenLogprob
from server.formats import InvalidFormat
from server.requests import Rendered
from tests.fakes.generation import FakeGeneration, Forever
from tests.fakes.live_server import LiveServer, fake_parts
from tests.fakes.waiting import eventually

STOP = Finished(DoneReason.STOP)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PATHS = ("/api/chat", "/api/generate")


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return FakeGeneration()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), generation)) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(generation: FakeGeneration) -> None:
    generation.script = ()
    generation.requests.clear()
    generation.n_abandoned = 0
    assert generation.open == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [None, True])
def test_a_reply_is_streamed_unless_the_client_says_otherwise(
    server: LiveServer, generation: FakeGeneration, path: str, stream: bool | None
) -> None:
    generation.script = (Delta("a"), Delta("b"), STOP)
    reply = server.post(path, CHAT | {"prompt": "p", "stream": stream})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    assert reply.headers["transfer-encoding"] == "chunked"
    assert [line["done"] for line in reply.lines] == [False, False, True]
    assert reply.body.endswith(b"}\n")


@pytest.mark.parametrize("path", PATHS)
def test_a_reply_in_one_piece(server: LiveServer, generation: FakeGeneration, path: str) -> None:
    generation.script = (Delta("a"), Delta("b"), STOP)
    reply = server.post(path, CHAT | {"prompt": "p", "stream": False})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert (reply.json.get("response") or reply.json["message"]["content"]) == "ab"


def test_a_long_answer_in_one_piece_is_chunked(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("x" * 5000), STOP)
    reply = server.post("/api/chat", CHAT | {"stream": False})
    assert "content-length" not in reply.headers
    assert reply.headers["transfer-encoding"] == "chunked"
    assert not reply.body.endswith(b"\n")


@pytest.mark.parametrize("event", [Finished(DoneReason.LOAD), Finished(DoneReason.UNLOAD), Rendered("p")])
def test_loads_and_rendered_prompts_are_never_streamed(
    server: LiveServer, generation: FakeGeneration, event: Finished | Rendered
) -> None:
    generation.script = (event,)
    for stream in (True, False):
        reply = server.post("/api/generate", CHAT | {"stream": stream})
        assert reply.headers["content-type"] == "application/json; charset=utf-8"
        assert int(reply.headers["content-length"]) == len(reply.body)


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_has_its_status(server: LiveServer, generation: FakeGeneration, stream: bool) -> None:
    generation.script = (ModelNotFound("model 'm' not found"),)
    reply = server.post("/api/chat", CHAT | {"stream": stream})
    assert (reply.status, reply.json) == (404, {"error": "model 'm' not found"})
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert "content-length" in reply.headers


def test_a_refusal_by_the_engine_looks_like_the_first_record(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (InvalidFormat("5"),)
    streamed = server.post("/api/chat", CHAT)
    assert (streamed.status, streamed.headers["content-type"]) == (500, "application/json")
    assert streamed.headers["transfer-encoding"] == "chunked"
    whole = server.post("/api/chat", CHAT | {"stream": False})
    assert (whole.status, whole.headers["content-type"]) == (500, "application/json; charset=utf-8")


def test_an_error_after_the_first_event_is_the_last_record(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("a"), RunnerCrashed("it <died>"))
    reply = server.post("/api/chat", CHAT)
    assert reply.status == 200
    assert reply.lines[-1] == {"error": "it <died>"}
    assert b"\\u003cdied\\u003e" in reply.body
    assert len(reply.lines) == 2


def test_without_a_stream_a_late_error_has_its_status(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("a"), BadRequest("no"))
    reply = server.post("/api/chat", CHAT | {"stream": False})
    assert (reply.status, reply.json) == (400, {"error": "no"})


@pytest.mark.parametrize("script", [(ZeroDivisionError("what"),), (Delta("a"), ZeroDivisionError("what"))])
@pytest.mark.parametrize("stream", [True, False])
def test_what_nobody_foresaw_is_told_and_logged(
    server: LiveServer,
    generation: FakeGeneration,
    caplog: pytest.LogCaptureFixture,
    script: tuple[Delta | Exception, ...],
    stream: bool,
) -> None:
    generation.script = script
    reply = server.post("/api/chat", CHAT | {"stream": stream})
    assert reply.status == (200 if stream and len(script) == 2 else 500)
    assert reply.lines[-1] == {"error": "what"}
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [*PATHS, "/v1/chat/completions"])
def test_what_cannot_be_written_is_told(
    server: LiveServer, generation: FakeGeneration, path: str, stream: bool
) -> None:
    generation.script = (Delta("a"), Delta("b", logprobs=(TokenLogprob(b"b", math.nan),)), STOP)
    reply = server.post(path, CHAT | {"prompt": "p", "stream": stream})
    assert reply.status == (200 if stream else 500)
    assert b"unsupported value: NaN" in reply.body
    assert eventually(lambda: generation.open == 0)


def test_expected_errors_leave_no_traceback(
    server: LiveServer, generation: FakeGeneration, caplog: pytest.LogCaptureFixture
) -> None:
    generation.script = (BadRequest("no"),)
    server.post("/api/chat", CHAT)
    assert caplog.text == ""


def test_a_reply_without_events_is_empty(server: LiveServer, generation: FakeGeneration) -> None:
    reply = server.post("/api/chat", CHAT)
    assert (reply.status, reply.body) == (200, b"")


def test_an_abandoned_reply_ends_without_a_word(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("a"), Finished(None))
    assert [line["done"] for line in server.post("/api/chat", CHAT).lines] == [False]


def test_every_event_is_sent_at_once(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("first"), Forever())
    with server.connect() as connection:
        send(connection, CHAT)
        received = b""
        while b'"first"' not in received:
            received += connection.recv(4096)
    assert eventually(lambda: generation.open == 0)


def send(connection: socket.socket, body: object, path: str = "/api/chat") -> None:
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n"
    connection.sendall(head.encode() + raw)


@pytest.mark.parametrize("script", [(Forever(),), (Delta("a"), Forever())])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_cancels_its_reply(
    server: LiveServer, generation: FakeGeneration, script: tuple[Delta | Forever, ...], stream: bool
) -> None:
    generation.script = script
    connection = server.connect()
    send(connection, CHAT | {"stream": stream})
    assert eventually(lambda: generation.open == 1)
    connection.close()
    assert eventually(lambda: generation.open == 0)
    assert generation.n_abandoned == 1


def test_a_client_that_leaves_cancels_its_embeddings(server: LiveServer, generation: FakeGeneration) -> None:
    generation.embeddings = Forever()
    connection = server.connect()
    send(connection, {"model": "m", "input": "a"}, "/api/embed")
    assert eventually(lambda: generation.open == 1)
    connection.close()
    assert eventually(lambda: generation.open == 0)
    assert generation.n_abandoned == 1


def test_a_slow_client_delays_only_itself(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = [Delta("x" * 10_000)] * 3000
    slow = server.connect()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    send(slow, CHAT)
    assert eventually(lambda: generation.open == 1)
    assert server.get("/api/version").status == 200
    assert server.get("/api/tags").status == 200
    assert generation.open == 1, "the reply waits for its reader instead of piling up"
    slow.close()
    assert eventually(lambda: generation.open == 0)


def test_nothing_is_left_of_many_clients_that_leave(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("a"), Forever())
    connections = [server.connect() for _ in range(20)]
    for connection in connections:
        send(connection, CHAT)
    assert eventually(lambda: generation.open == 20)
    for connection in connections:
        connection.close()
    assert eventually(lambda: generation.open == 0)
    assert server.get("/api/version").status == 200
