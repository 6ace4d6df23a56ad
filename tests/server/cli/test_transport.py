from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from server.cli.errors import CliError, ConnectionFailed, NotRunning, StatusError, Unauthorized
from server.cli.transport import MAX_LINE_BYTES, Transport
from server.settings import Host
from tests.server.cli.fake_server import FakeServer, Json, Reply

SOMETHING = "something went wrong, please see the puna server logs for details"


@pytest.fixture
def transport(fake: FakeServer) -> Transport:
    return Transport(Host(port=fake.port), user_agent="puna/1")


def test_a_call_sends_json_as_go_writes_it_and_reads_json(fake: FakeServer, transport: Transport) -> None:
    fake.answers["POST /api/show"] = Reply(json={"a": 1})
    assert transport.call("POST", "/api/show", {"model": "<m>"}) == {"a": 1}
    (request,) = fake.requests
    assert request.body == {"model": "<m>"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == "puna/1"
    assert request.headers["Host"] == f"127.0.0.1:{fake.port}"


def test_an_empty_answer_is_none(fake: FakeServer, transport: Transport) -> None:
    fake.answers["POST /api/copy"] = Reply()
    assert transport.call("POST", "/api/copy", {}) is None


def test_the_path_of_the_address_comes_first(fake: FakeServer) -> None:
    fake.answers["GET /puna/api/tags"] = Reply(json={})
    Transport(Host(port=fake.port, path="puna/"), user_agent="x").call("GET", "/api/tags")
    assert fake.calls() == ["GET /puna/api/tags"]


def test_an_address_without_a_host_is_this_machine(fake: FakeServer) -> None:
    fake.answers["GET /api/tags"] = Reply(json={})
    Transport(Host(host="", port=fake.port), user_agent="x").call("GET", "/api/tags")
    assert fake.calls() == ["GET /api/tags"]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(404, json={"error": "model 'm:latest' not found"}), "model 'm:latest' not found"),
        (Reply(500, text="plain words\n"), "plain words"),
        (Reply(500, json={"detail": "x"}), "something went wrong, please see the puna server logs for details"),
        (Reply(403), "something went wrong, please see the puna server logs for details"),
        (
            Reply(401, json={"error": "unauthorized"}),
            "something went wrong, please see the puna server logs for details",
        ),
        (
            Reply(301, headers={"Location": "https://x/"}),
            "the server redirects to https://x/; set OLLAMA_HOST to that address",
        ),
    ],
)
def test_an_error_status_is_reported_with_its_text(
    fake: FakeServer, transport: Transport, reply: Reply, text: str
) -> None:
    fake.answers["GET /api/tags"] = reply
    with pytest.raises(CliError) as caught:
        transport.call("GET", "/api/tags")
    assert str(caught.value) == text


def test_an_answer_that_is_no_json_is_an_error(fake: FakeServer, transport: Transport) -> None:
    fake.answers["GET /api/tags"] = Reply(text="<html>")
    with pytest.raises(CliError, match=r"^unexpected answer from the server: "):
        transport.call("GET", "/api/tags")


def test_an_answer_of_401_carries_the_address_to_sign_in_at(fake: FakeServer, transport: Transport) -> None:
    fake.answers["POST /api/me"] = Reply(401, json={"error": "unauthorized", "signin_url": "https://sign/in"})
    for ask in (lambda: transport.call("POST", "/api/me"), lambda: list(transport.stream("POST", "/api/me"))):
        with pytest.raises(Unauthorized) as caught:
            ask()
        assert caught.value.signin_url == "https://sign/in"
    assert str(caught.value) == "401 Unauthorized"


def test_a_stream_yields_each_object_when_it_is_complete(fake: FakeServer, transport: Transport) -> None:
    may_go_on = threading.Event()

    def lines() -> Iterator[Json]:
        yield {"n": 1}
        assert may_go_on.wait(10)
        yield {"n": 2}

    fake.answers["POST /api/pull"] = Reply(lines=lines())
    stream = transport.stream("POST", "/api/pull", {})
    assert next(stream) == {"n": 1}
    may_go_on.set()
    assert list(stream) == [{"n": 2}]
    assert fake.requests[0].headers["Accept"] == "application/x-ndjson"


def test_closing_a_stream_hangs_up(fake: FakeServer, transport: Transport) -> None:
    def endless() -> Iterator[Json]:
        while True:
            yield {"response": "x" * 10_000}

    fake.answers["POST /api/generate"] = Reply(lines=endless())
    stream = transport.stream("POST", "/api/generate", {})
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert fake.disconnects.acquire(timeout=10)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(400, json={"error": "invalid model name"}), "400 Bad Request: invalid model name"),
        (Reply(500, text="no json"), "500 Internal Server Error: no json"),
        (Reply(403), "403 Forbidden"),
        (Reply(lines=[{"status": "x"}, {"error": "pull model manifest: 500: <x>"}]), "pull model manifest: 500: <x>"),
        (Reply(text="not json\n"), "not json"),
        (Reply(text="[1]\n"), "[1]"),
    ],
)
def test_an_error_of_a_stream_is_its_status_line_or_its_text(
    fake: FakeServer, transport: Transport, reply: Reply, text: str
) -> None:
    fake.answers["POST /api/pull"] = reply
    with pytest.raises(CliError) as caught:
        list(transport.stream("POST", "/api/pull", {}))
    assert str(caught.value) == text


def test_a_line_may_have_eight_million_bytes(fake: FakeServer, transport: Transport) -> None:
    def line(n_bytes: int) -> str:
        return '{"r":"' + "x" * (n_bytes - 9) + '"}\n'

    fake.answers["POST /api/chat"] = Reply(text=line(MAX_LINE_BYTES))
    assert len(list(transport.stream("POST", "/api/chat", {}))) == 1
    fake.answers["POST /api/chat"] = Reply(text=line(MAX_LINE_BYTES + 1))
    with pytest.raises(CliError, match=r"bufio\.Scanner: token too long"):
        list(transport.stream("POST", "/api/chat", {}))


def test_an_upload_is_sent_in_chunks(fake: FakeServer, transport: Transport) -> None:
    fake.answers["POST /api/blobs/sha256:00"] = Reply(201)
    transport.upload("/api/blobs/sha256:00", iter([b"ab", b"", b"c\xff"]))
    (request,) = fake.requests
    assert request.body == b"abc\xff"
    assert request.headers["Transfer-Encoding"] == "chunked"


class RawServer:
    """Accepts one connection after the other, reads what has come of the request, and answers with fixed bytes."""

    def __init__(self, answer: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(self._answer)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._socket.close()


def test_an_upload_that_is_answered_early_ends_early() -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 100_000

    with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as server:
        Transport(Host(port=server.port), user_agent="x").upload("/api/blobs/x", endless())
    assert sent > 0


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "EOF"),
        (b"nonsense\r\n\r\n", "malformed HTTP response: nonsense\r\n"),
    ],
)
def test_a_server_that_is_no_server_is_named(answer: bytes, text: str) -> None:
    with RawServer(answer) as server, pytest.raises(ConnectionFailed) as caught:
        Transport(Host(port=server.port), user_agent="x").call("GET", "/api/tags")
    assert str(caught.value) == f'Get "http://127.0.0.1:{server.port}/api/tags": {text}'


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":1',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"a":1',
    ],
)
def test_an_answer_that_breaks_off_is_an_error(answer: bytes) -> None:
    with RawServer(answer) as server, pytest.raises(ConnectionFailed, match="unexpected EOF"):
        Transport(Host(port=server.port), user_agent="x").call("GET", "/")


def test_nobody_listening_is_told_apart_from_other_failures() -> None:
    with pytest.raises(NotRunning, match="could not connect to puna server, run 'puna serve' to start it"):
        Transport(Host(port=1), user_agent="x").call("HEAD", "/")
    with pytest.raises(ConnectionFailed) as caught:
        Transport(Host(host="name.invalid", port=1), user_agent="x").call("HEAD", "/")
    assert str(caught.value) == 'Head "http://name.invalid:1/": dial tcp: lookup name.invalid: no such host'
    assert not isinstance(caught.value, NotRunning)


def test_https_to_a_plain_server_says_so(fake: FakeServer) -> None:
    with pytest.raises(ConnectionFailed, match=r'^Head "https://127\.0\.0\.1:\d+/": tls: '):
        Transport(Host("https", port=fake.port), user_agent="x").call("HEAD", "/")


def test_a_request_through_a_proxy_names_the_whole_address(fake: FakeServer) -> None:
    fake.answers["GET http://model.example:11434/api/tags"] = Reply(json={"models": []})
    proxies = {"http": f"http://127.0.0.1:{fake.port}"}
    Transport(Host(host="model.example"), user_agent="x", proxies=proxies).call("GET", "/api/tags")
    assert fake.calls() == ["GET http://model.example:11434/api/tags"]
    assert fake.requests[0].headers["Host"] == "model.example:11434"


def test_a_missing_status_text_leaves_the_code() -> None:
    with RawServer(b"HTTP/1.1 499\r\nContent-Length: 0\r\n\r\n") as server, pytest.raises(StatusError) as caught:
        list(Transport(Host(port=server.port), user_agent="x").stream("POST", "/api/chat", {}))
    assert str(caught.value) == "499"
