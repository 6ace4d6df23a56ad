"""HTTP on the wire, spoken by hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.parsers.events import Delta, DoneReason, Finished
from server.transport.protocol import MAX_HEAD_BYTES
from tests.fakes.generation import FakeGeneration, Forever
from tests.fakes.live_server import LiveServer, fake_parts, read_all
from tests.fakes.waiting import eventually

GET = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST_GET = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
GENERATION = FakeGeneration((Delta("a"), Delta("b"), Finished(DoneReason.STOP)))
BODY = b'{"model":"m","prompt":"p"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), GENERATION)) as running:
        yield running


def post(path: bytes, body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    head = [b"POST %s HTTP/%s" % (path, version), b"Host: localhost", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def test_requests_in_a_row_are_answered_in_their_order(server: LiveServer) -> None:
    stream = post(b"/api/generate", BODY)
    answers = server.raw(stream + GET + stream + LAST_GET)
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b'{"version":"') == 2
    assert answers.count(b'"done":true') == 2
    assert answers.rstrip().endswith(b"}")


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n", b'{"models":[]}'),
        (b"GET /api/tags HTTP/1.0\r\n\r\n", b'{"models":[]}'),
        (post(b"/api/show", b'{"model":"none"}'), b'not found"}'),
        (GET * 3 + post(b"/api/show", b'{"model":"none"}') * 2, b'not found"}'),
    ],
)
def test_a_client_that_sends_no_more_is_answered(server: LiveServer, request_: bytes, end: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 ") == request_.count(b" HTTP/1.")
    assert answers.endswith(end)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_client_that_sends_no_more_is_taken_for_gone_where_a_reply_is_generated(
    tmp_path: Path, version: bytes
) -> None:
    endless = FakeGeneration((Delta("a"), Forever()))
    with LiveServer(fake_parts(tmp_path, endless)) as server, server.connect() as connection:
        connection.sendall(post(b"/api/generate", BODY, version=version))
        assert connection.recv(10)
        connection.shutdown(socket.SHUT_WR)
        assert b'"done":true' not in read_all(connection)
        assert eventually(lambda: endless.n_abandoned == 1)


def test_a_client_that_breaks_off_within_a_body_gets_no_answer(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(post(b"/api/show", b'{"model":"none"}')[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""


def test_a_client_that_leaves_takes_all_its_requests_with_it(tmp_path: Path) -> None:
    long = FakeGeneration([Delta("a")] * 200_000)
    with LiveServer(fake_parts(tmp_path, long)) as server:
        with server.connect() as connection:
            connection.sendall(post(b"/api/generate", BODY) * 2 + GET)
            assert connection.recv(10)
        assert eventually(lambda: long.n_abandoned == 1)
        assert server.get("/api/version").status == 200
    assert len(long.requests) == 1


def test_http_1_0_has_no_chunks_and_ends_with_the_connection(server: LiveServer) -> None:
    head, _, body = server.raw(post(b"/api/generate", BODY, version=b"1.0")).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body.count(b"\n") == 3 and body.startswith(b'{"model":"m"') and body.endswith(b"}\n")


def test_http_1_0_gets_short_answers_with_their_length(server: LiveServer) -> None:
    answer = server.raw(b"GET /api/version HTTP/1.0\r\n\r\n")
    assert b"content-length: 20" in answer
    assert answer.endswith(b'{"version":"0.33.0"}')


def test_http_1_0_head_has_no_body(server: LiveServer) -> None:
    assert server.raw(b"HEAD /api/tags HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")


def test_a_chunked_request_is_read(server: LiveServer) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, BODY[i : i + 1]) for i in range(len(BODY)))
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert b'"done":true' in server.raw(head + chunks + b"0\r\n\r\n")


def test_headers_beyond_all_measure_are_refused(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        try:
            for _ in range(MAX_HEAD_BYTES // 65536 + 8):
                connection.sendall(b"x" * 65536)
            answer = read_all(connection)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""  # closed while we still sent; what matters is that it was closed
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


def test_large_headers_within_the_measure_are_read(server: LiveServer) -> None:
    request = LAST_GET.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * (MAX_HEAD_BYTES // 2) + b"\r\n\r\n")
    assert server.raw(request).startswith(b"HTTP/1.1 200 OK")


def test_a_large_body_does_not_count_as_headers(server: LiveServer) -> None:
    body = b'{"model":"m","prompt":"' + b"x" * (2 * MAX_HEAD_BYTES) + b'"}'
    assert server.raw(post(b"/api/generate", body) + LAST_GET).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("garbage", [b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_what_is_not_http_is_refused(server: LiveServer, garbage: bytes) -> None:
    answer = server.raw(garbage)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n400 Bad Request")


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"GET / HTTP/1.1\r\n", b": missing required Host header"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n", b": too many Host headers"),
        (b"GET / HTTP/1.1\r\nHost: local/host\r\n", b": malformed Host header"),
        (b"GET http://localhost/ HTTP/1.1\r\n", b": missing required Host header"),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n", b""),
    ],
)
def test_a_request_must_have_one_host(server: LiveServer, head: bytes, complaint: bytes) -> None:
    reason = b"400 Bad Request" + complaint
    answer = server.raw(head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 " + reason + b"\r\n")
    assert b"\r\nConnection: close\r\n" in answer and answer.endswith(b"\r\n\r\n" + reason)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.0\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost:\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n", b"403"),
        (b"GET http://localhost/api/version HTTP/1.1\r\nHost: localhost\r\n", b"200"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n", b"403"),
        (b"GET http://user@evil.example:80/ HTTP/1.1\r\nHost: localhost\r\n", b"403"),
        (b"GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n", b"403"),
    ],
)
def test_the_host_is_who_the_request_is_for(server: LiveServer, head: bytes, status: bytes) -> None:
    answer = server.raw(head + b"Connection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))


def test_an_offer_to_upgrade_is_read_over(server: LiveServer) -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    assert b'"done":true' in server.raw(post(b"/api/generate", BODY, *offer) + LAST_GET)


def test_an_unread_body_does_not_spoil_the_connection(server: LiveServer) -> None:
    answers = server.raw(post(b"/nope", b"x" * 3_000_000) + LAST_GET)
    assert answers.startswith(b"HTTP/1.1 404 ")
    assert b"HTTP/1.1 200 OK" in answers


def test_answers_carry_a_date_and_no_name_of_the_server(server: LiveServer) -> None:
    head = server.raw(LAST_GET).lower()
    assert b"\r\ndate: " in head
    assert b"\r\nserver: " not in head
