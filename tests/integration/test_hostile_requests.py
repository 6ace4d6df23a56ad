"""Broken, huge, slow and lying requests against a real server: each is answered as specified, others are served."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import StartServer
from tools.server_process import ServerProcess

LIMIT_BYTES = 4 << 20
GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    return start_server(PUNA_MAX_BODY=str(LIMIT_BYTES))


def connect(server: ServerProcess) -> http.client.HTTPConnection:
    host, _, port = server.host.partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=30)


def ask(server: ServerProcess, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = connect(server)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    return answer.status, json.loads(raw.splitlines()[-1]) if raw.strip() else None


def resident(server: ServerProcess) -> int:
    return int(psutil.Process(server.pid).memory_info().rss)


def upload(server: ServerProcess, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert ask(server, "POST", f"/api/blobs/{digest}", content)[0] in (200, 201)
    return digest


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "missing request body"),
        (b"{", "unexpected EOF"),
        (b"not json", "invalid character 'o' in literal null (expecting 'u')"),
        (b'{"model": 7}', "json: cannot unmarshal number into Go struct field GenerateRequest.model of type string"),
    ],
)
def test_a_malformed_request_is_refused_in_gos_words(server: ServerProcess, body: bytes, text: str) -> None:
    assert ask(server, "POST", "/api/generate", body) == (400, {"error": text})


def test_deep_nesting_does_not_end_the_server(server: ServerProcess) -> None:
    body = b'{"model":"x","format":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    status, answer = ask(server, "POST", "/api/generate", body)
    assert status == 400 and "error" in answer
    assert ask(server, "GET", "/api/version")[0] == 200


def test_invalid_utf8_is_taken_as_replacement_characters(server: ServerProcess) -> None:
    assert ask(server, "POST", "/api/generate", b'{"model":"no\xff"}')[0] in (400, 404)


def test_a_body_beyond_the_limit_is_refused_by_its_announced_length(server: ServerProcess) -> None:
    before = resident(server)
    connection = connect(server)
    connection.putrequest("POST", "/api/chat")
    connection.putheader("Content-Length", str(1 << 30))
    connection.endheaders(b"{")
    assert connection.getresponse().status == 413
    connection.close()
    assert resident(server) - before < GROWTH_BYTES


def test_an_endless_chunked_body_is_refused_at_the_limit_and_not_kept(server: ServerProcess) -> None:
    before = resident(server)
    host, _, port = server.host.partition(":")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST /api/chat HTTP/1.1\r\nHost: {server.host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(4 * LIMIT_BYTES // 65536):
            connection.sendall(chunk)
        assert connection.recv(12) == b"HTTP/1.1 413"
        for _ in range(4 * GROWTH_BYTES // 65536):  # a server may read on or hang up, but not collect it
            try:
                connection.sendall(chunk)
            except OSError:
                break
        assert resident(server) - before < GROWTH_BYTES
    assert ask(server, "GET", "/api/version")[0] == 200


def test_slow_clients_delay_only_themselves(server: ServerProcess) -> None:
    host, _, port = server.host.partition(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(
                f"POST /api/chat HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: 500\r\n\r\n{{".encode()
            )
        began = time.monotonic()
        assert ask(server, "GET", "/api/tags")[0] == 200
        assert time.monotonic() - began < 1.0
    finally:
        for connection in slow:
            connection.close()


def test_an_unknown_model_is_not_found(server: ServerProcess) -> None:
    assert ask(server, "POST", "/api/generate", b'{"model":"nobody"}') == (404, {"error": "model 'nobody' not found"})


def test_a_blob_that_lies_about_its_digest_is_not_kept(server: ServerProcess) -> None:
    path = f"/api/blobs/sha256:{'0' * 64}"
    assert ask(server, "POST", path, b"something else")[0] == 400
    connection = connect(server)
    connection.request("HEAD", path)
    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize("kept", [0, 3, 4, 40, 400, 20_000])
def test_a_truncated_gguf_makes_no_model(server: ServerProcess, tiny_model: Callable[[str], Path], kept: int) -> None:
    digest = upload(server, tiny_model("chatml").read_bytes()[:kept])
    body = {"model": "broken", "files": {"broken.gguf": digest}, "stream": False}
    status, answer = ask(server, "POST", "/api/create", json.dumps(body).encode())
    assert status >= 400 and answer["error"]
    assert ask(server, "POST", "/api/show", b'{"model":"broken"}')[0] == 404


def test_a_gguf_that_lies_about_its_counts_makes_no_model(
    server: ServerProcess, tiny_model: Callable[[str], Path]
) -> None:
    honest = tiny_model("chatml").read_bytes()
    before = resident(server)
    for at, value in ((8, 2**63 - 1), (8, 2**31), (16, 2**63 - 1), (16, 2**20)):  # tensors, then key-value pairs
        lying = honest[:at] + value.to_bytes(8, "little") + honest[at + 8 :]
        body = {"model": "lying", "files": {"lying.gguf": upload(server, lying)}, "stream": False}
        status, answer = ask(server, "POST", "/api/create", json.dumps(body).encode())
        assert status >= 400 and answer["error"]
    assert resident(server) - before < GROWTH_BYTES
    assert ask(server, "GET", "/api/version")[0] == 200
