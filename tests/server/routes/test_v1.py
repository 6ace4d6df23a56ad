"""What is the same in all dialects under /v1: bodies, errors and how they are framed, the cloud."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from models.errors import LoadError, RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished
from server.requests import ChatRequest
from server.routes.compression import MAX_BODY_BYTES, UnreadableBody, decompress_zstd
from server.scheduler import QueueFull
from tests.fakes.generation import FakeGeneration, Step
from tests.fakes.live_server import LiveServer, Reply, fake_parts

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
VALID: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": CHAT | {"max_tokens": 5},
}
PATHS = (*VALID, "/v1/embeddings")
SCRIPT: tuple[Step, ...] = (Delta("a"), Finished(DoneReason.STOP))


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return FakeGeneration()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    folder = Path(tmp_path_factory.mktemp("home"))
    with LiveServer(fake_parts(folder, generation, {"PUNA_MAX_BODY": "1M"})) as server:
        yield server


@pytest.fixture
def server(running: LiveServer, generation: FakeGeneration) -> LiveServer:
    generation.script = SCRIPT
    return running


def message_of(reply: Reply) -> str:
    text: str = reply.json["error"]["message"]
    return text


# ---- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [None, b" \n"])
def test_no_body_is_the_end_of_a_file(server: LiveServer, path: str, body: bytes | None) -> None:
    reply = server.post(path, body)
    assert (reply.status, message_of(reply)) == (400, "EOF")


@pytest.mark.parametrize("path", VALID)
def test_a_body_may_be_compressed(server: LiveServer, generation: FakeGeneration, path: str) -> None:
    body = zstandard.compress(orjson.dumps(VALID[path]))
    assert server.post(path, body, {"Content-Encoding": "zstd"}).status == 200
    assert generation.requests[-1].model == "m"


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_not_compressed_as_it_says_is_refused_natively(server: LiveServer, path: str) -> None:
    reply = server.post(path, b"{}", {"Content-Encoding": "zstd"})
    assert (reply.status, reply.json) == (400, {"error": "invalid input: magic number mismatch"})


def test_a_compressed_body_has_a_limit() -> None:
    bomb = zstandard.compress(bytes(MAX_BODY_BYTES + 1))
    with pytest.raises(UnreadableBody, match="request body too large"):
        decompress_zstd(bomb)
    assert len(decompress_zstd(zstandard.compress(bytes(MAX_BODY_BYTES)))) == MAX_BODY_BYTES


def test_frames_follow_each_other() -> None:
    assert decompress_zstd(zstandard.compress(b"ab") + zstandard.compress(b"cd")) == b"abcd"
    assert decompress_zstd(b"") == b""


def test_a_frame_that_would_need_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = stream.compress(b"x" * 1000) + stream.flush()
    with pytest.raises(UnreadableBody, match="memory"):
        decompress_zstd(frame)


def test_a_damaged_frame_is_refused() -> None:
    damaged = bytearray(zstandard.compress(random.Random(0).randbytes(1000) * 10))
    damaged[6] ^= 0xFF
    with pytest.raises(UnreadableBody):
        decompress_zstd(damaged)


def test_a_frame_that_is_cut_short_is_a_body_cut_short(server: LiveServer) -> None:
    body = zstandard.compress(orjson.dumps(CHAT | {"x": random.Random(0).randbytes(3000).hex()}))
    reply = server.post("/v1/chat/completions", body[: len(body) // 2], {"Content-Encoding": "zstd"})
    assert (reply.status, message_of(reply)) == (400, "EOF")


@pytest.mark.parametrize("path", PATHS)
def test_a_body_beyond_the_limit_is_refused_in_the_dialects_form(server: LiveServer, path: str) -> None:
    reply = server.post(path, b'{"x":"' + b"x" * (1 << 20) + b'"}')
    assert (reply.status, message_of(reply)) == (413, "request body too large")


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_what_cannot_be_read_is_refused_with_a_charset(server: LiveServer, path: str) -> None:
    reply = server.post(path, b'{"model":1}')
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert not reply.body.endswith(b"\n")


@pytest.mark.parametrize("path", VALID)
@pytest.mark.parametrize("stream", [False, True])
def test_what_serves_all_dialects_refuses_with_a_line(
    server: LiveServer, generation: FakeGeneration, path: str, stream: bool
) -> None:
    generation.script = (QueueFull(),)
    reply = server.post(path, VALID[path] | {"stream": stream})
    assert reply.status == 503
    assert reply.headers["content-type"] == "application/json"
    assert "content-length" in reply.headers
    assert reply.body.endswith(b"}\n")


@pytest.mark.parametrize("path", VALID)
def test_the_engine_refuses_where_the_stream_was_to_begin(
    server: LiveServer, generation: FakeGeneration, path: str
) -> None:
    generation.script = (RunnerCrashed("gone"),)
    reply = server.post(path, VALID[path] | {"stream": True})
    assert (reply.status, message_of(reply)) == (500, "gone")
    assert reply.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(("path", "is_told"), [(path, path in ("/v1/responses", "/v1/messages")) for path in VALID])
def test_some_streams_are_not_to_be_cached_nor_the_errors_in_their_place(
    server: LiveServer, generation: FakeGeneration, path: str, is_told: bool
) -> None:
    assert ("cache-control" in server.post(path, VALID[path] | {"stream": True}).headers) is is_told
    assert "cache-control" not in server.post(path, VALID[path]).headers
    generation.script = (LoadError("too large"),)
    assert ("cache-control" in server.post(path, VALID[path] | {"stream": True}).headers) is is_told


@pytest.mark.parametrize("path", VALID)
def test_an_error_within_a_stream_is_told(server: LiveServer, generation: FakeGeneration, path: str) -> None:
    generation.script = (Delta("a"), RunnerCrashed("gone"))
    reply = server.post(path, VALID[path] | {"stream": True})
    assert reply.status == 200
    last = reply.body.split(b"\n\n")[-2]
    assert b'"message":"gone"' in last and b"error" in last
    assert b"[DONE]" not in reply.body


@pytest.mark.parametrize("path", VALID)
def test_a_defect_is_an_error_of_the_dialect(server: LiveServer, generation: FakeGeneration, path: str) -> None:
    generation.script = (ZeroDivisionError("division by zero"),)
    reply = server.post(path, VALID[path])
    assert (reply.status, reply.json["error"]["type"]) == (500, "api_error")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_a_blank_name_is_refused_before_a_model_is_looked_for(server: LiveServer, path: str) -> None:
    reply = server.post(path, VALID[path] | {"model": "  "})
    assert (reply.status, message_of(reply)) == (400, "model is required")
    assert reply.headers["content-type"] == "application/json"


# ---- the cloud -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", ["x:cloud", "x:7b-cloud", " x:CLOUD "])
def test_a_model_in_the_cloud_is_refused_natively_before_anything_else(
    server: LiveServer, path: str, model: str
) -> None:
    reply = server.post(path, {"model": model, "messages": 5, "input": 5, "prompt": 5})
    assert (reply.status, reply.json) == (403, {"error": "ollama cloud is disabled: remote model is unavailable"})


def test_two_sources_are_for_the_dialect_to_refuse(server: LiveServer, generation: FakeGeneration) -> None:
    assert server.post("/v1/chat/completions", CHAT | {"model": "x:cloud:local"}).status == 200
    request = generation.requests[-1]
    assert isinstance(request, ChatRequest) and request.model == "x:cloud:local"
