"""Chat, generate and embed: from the wire to the request that generation gets, and refusals on the way."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputTooLong, ModelNotFound, Unsupported, UnusableOutput
from models.parsers.events import Delta, DoneReason, Finished
from server.requests import ChatRequest, Embeddings, EmbedRequest, GenerateRequest
from server.scheduler import QueueFull
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, fake_parts

MIB = 1 << 20


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return FakeGeneration((Delta("a"), Finished(DoneReason.STOP)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    folder = Path(tmp_path_factory.mktemp("home"))
    with LiveServer(fake_parts(folder, generation, {"PUNA_MAX_BODY": "8M"})) as running:
        yield running


def test_a_chat_arrives(server: LiveServer, generation: FakeGeneration) -> None:
    server.post("/api/chat", {"model": "M:x", "messages": [{"role": "User", "content": "hé"}], "options": {"seed": 1}})
    request = generation.requests[-1]
    assert isinstance(request, ChatRequest)
    assert (request.model, request.messages[0].role, request.messages[0].content) == ("M:x", "user", "hé")
    assert request.options == {"seed": 1}
    assert request.arrived_ns > 0


def test_a_body_needs_no_content_type_and_may_be_large(server: LiveServer, generation: FakeGeneration) -> None:
    server.post("/api/generate", b'{"model":"m","prompt":"' + b"x" * (2 * MIB) + b'"}  trailing garbage')
    request = generation.requests[-1]
    assert isinstance(request, GenerateRequest)
    assert len(request.prompt) == 2 * MIB


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"])
@pytest.mark.parametrize("body", [None, b"", b" \n"])
def test_no_body_is_told(server: LiveServer, path: str, body: bytes | None) -> None:
    reply = server.post(path, body)
    assert (reply.status, reply.json) == (400, {"error": "missing request body"})


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/api/chat", {}, "model is required"),
        ("/api/chat", {"model": "m", "top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ("/api/embeddings", {"prompt": "p"}, "model is required"),
        ("/api/embed", {"model": "m", "input": 5}, "invalid input type"),
        ("/api/chat", b"[1]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
    ],
)
def test_a_bad_request_is_refused(server: LiveServer, path: str, body: Any, text: str) -> None:
    reply = server.post(path, body)
    assert (reply.status, reply.json) == (400, {"error": text})
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


def test_a_body_beyond_the_limit_is_refused(server: LiveServer) -> None:
    reply = server.post("/api/chat", b'{"x":"' + b"x" * (9 * MIB) + b'"}')
    assert (reply.status, reply.json) == (413, {"error": "request body too large"})


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(server: LiveServer) -> None:
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    answer = server.raw(head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_a_body_without_a_length_is_refused_when_it_is_too_long(server: LiveServer) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert server.raw(head + chunk * 140 + b"0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_a_full_queue_is_told(server: LiveServer, generation: FakeGeneration) -> None:
    script, generation.script = generation.script, (QueueFull(),)
    reply = server.post("/api/generate", {"model": "m", "prompt": "p"})
    generation.script = script
    assert reply.status == 503
    assert reply.json == {"error": "server busy, please try again.  maximum pending requests exceeded"}


def vectors(*rows: list[float]) -> Embeddings:
    return Embeddings(tuple(memoryview(array("f", row)) for row in rows), n_tokens=3, load_ns=5, total_ns=7)


def test_vectors_are_float32(server: LiveServer, generation: FakeGeneration) -> None:
    generation.embeddings = vectors([0.1, -1.0, 0.0], [1e-7, 0.23076925, 2.0])
    reply = server.post("/api/embed", {"model": "m", "input": ["a", "b"]})
    assert reply.body == (
        b'{"model":"m","embeddings":[[0.1,-1,0],[1e-7,0.23076925,2]],"total_duration":7,"load_duration":5,"prompt_eval_count":3}'
    )


def test_the_older_endpoint_writes_them_as_float64(server: LiveServer, generation: FakeGeneration) -> None:
    generation.embeddings = vectors([0.1, -1.0])
    reply = server.post("/api/embeddings", {"model": "m", "prompt": "a"})
    assert reply.body == b'{"embedding":[0.10000000149011612,-1]}'
    request = generation.requests[-1]
    assert isinstance(request, EmbedRequest)
    assert (request.normalize, request.truncate) == (False, False)


def test_loading_has_neither_vectors_nor_durations(server: LiveServer, generation: FakeGeneration) -> None:
    generation.embeddings = Embeddings(load_ns=5, total_ns=6)
    assert server.post("/api/embed", {"model": "m"}).body == b'{"model":"m","embeddings":[]}'
    assert server.post("/api/embeddings", {"model": "m"}).body == b'{"embedding":[]}'


@pytest.mark.parametrize(
    ("error", "embed", "embeddings"),
    [
        (InputTooLong("too long"), 400, 500),
        (Unsupported("cannot"), 400, 500),
        (UnusableOutput("embedding contains NaN or Inf values"), 400, 500),
        (ModelNotFound("nope"), 404, 404),
    ],
)
def test_the_two_endpoints_differ_in_their_statuses(
    server: LiveServer, generation: FakeGeneration, error: Exception, embed: int, embeddings: int
) -> None:
    generation.embeddings = error
    answers = [
        server.post(path, {"model": "m", "input": "a", "prompt": "a"}) for path in ("/api/embed", "/api/embeddings")
    ]
    assert [answer.status for answer in answers] == [embed, embeddings]
    assert [answer.json for answer in answers] == [{"error": str(error)}] * 2
