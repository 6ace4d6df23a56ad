from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from registry.errors import BadAnswer, ConnectionFailed, Stalled, TransferError
from registry.registries import user_agent
from registry.wire import Wire, read_limited, redirect_target, resolve_url, translated_failures
from tests.fakes.faulty_http import Cut, Drop, Stall
from tests.fakes.registry import FakeRegistry

URL = "https://h:7/v2/x"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire(user_agent="ollama/0.33.0", stall_s=0.1)
    yield wire
    await wire.close()


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (
            caused(httpx.ConnectError("x"), ConnectionRefusedError(111, "x")),
            ConnectionFailed,
            'Get "https://h:7/v2/x": dial tcp h:7: connect: connection refused',
        ),
        (
            caused(httpx.ConnectError("x"), socket.gaierror(-2, "x")),
            ConnectionFailed,
            'Get "https://h:7/v2/x": dial tcp: lookup h: no such host',
        ),
        (
            caused(httpx.ConnectError("x"), ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
            ConnectionFailed,
            'Get "https://h:7/v2/x": tls: first record does not look like a TLS handshake',
        ),
        (
            caused(httpx.ReadError("x"), ConnectionResetError(104, "x")),
            ConnectionFailed,
            'Get "https://h:7/v2/x": read tcp h:7: read: connection reset by peer',
        ),
        (
            httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
            ConnectionFailed,
            "unexpected EOF",
        ),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), ConnectionFailed, None),
        (httpx.RemoteProtocolError("illegal status line"), BadAnswer, None),
        (httpx.ReadTimeout("x"), Stalled, 'Get "https://h:7/v2/x": i/o timeout'),
        (httpx.WriteTimeout("x"), Stalled, None),
        (httpx.ConnectTimeout("x"), ConnectionFailed, 'Get "https://h:7/v2/x": dial tcp h:7: i/o timeout'),
        (httpx.UnsupportedProtocol("x"), BadAnswer, None),
        (httpx.InvalidURL("x"), BadAnswer, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_failures_are_worded_as_gos(failure: Exception, kind: type[Exception], text: str | None) -> None:
    with pytest.raises(TransferError) as caught, translated_failures("GET", URL):
        raise failure
    assert type(caught.value) is kind
    assert text is None or str(caught.value) == text


def test_defects_of_ours_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), translated_failures("GET", URL):
        raise ZeroDivisionError


def answer(url: str, location: str | None, status: int = 307) -> httpx.Response:
    headers = {} if location is None else {"Location": location}
    return httpx.Response(status, headers=headers, request=httpx.Request("GET", url))


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://o/x?a=%2F&b", "https://o/x?a=%2F&b"),
        ("/x", "https://h:7/x"),
        ("x", "https://h:7/v2/x"),
        ("?q", "https://h:7/v2/x?q"),
        ("//o/x", "https://o/x"),
    ],
)
def test_redirects_may_be_relative(location: str, target: str) -> None:
    assert redirect_target(answer(URL, location)) == target
    assert resolve_url(answer(URL, None), location) == target


@pytest.mark.parametrize("location", [None, "http://h:7/x", "http://o/x", "file:///x", "javascript:x"])
def test_redirects_to_nowhere_or_out_of_tls_are_refused(location: str | None) -> None:
    with pytest.raises(BadAnswer):
        redirect_target(answer("https://h:7", location))


def test_what_is_no_redirect_has_no_target() -> None:
    assert redirect_target(answer(URL, "https://o/x", 200)) is None
    assert redirect_target(answer(URL, "https://o/x", 304)) is None
    assert redirect_target(answer("http://h/", "https://o/x", 302)) == "https://o/x"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Stall(None), Stalled), (Stall(3), Stalled), (Drop(0), ConnectionFailed), (Cut(3), ConnectionFailed)],
)
async def test_failures_in_the_body_are_failures_too(
    fault: Stall | Drop | Cut, kind: type[Exception], registry: FakeRegistry, wire: Wire
) -> None:
    registry.add_model("lib/m", {})
    registry.faults["manifest"] = [fault]
    with pytest.raises(kind):
        async with wire.open("GET", f"http://{registry.host}/v2/lib/m/manifests/latest") as response:
            await read_limited(response, 1 << 20)


@pytest.mark.anyio
async def test_a_proxy_is_never_asked_for_this_machine(
    registry: FakeRegistry, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for host in ("127.0.0.1", "localhost"):
        async with wire.open("GET", f"http://{host}:{registry.port}/x") as response:
            assert response.status_code == 404
    with pytest.raises(ConnectionFailed, match="connection refused"):
        async with wire.open("GET", "http://elsewhere.invalid/x"):
            pass


@pytest.mark.anyio
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, wire: Wire) -> None:
    with FakeRegistry() as registry:
        registry.use_tls(tmp_path)
        with pytest.raises(ConnectionFailed, match="tls: failed to verify certificate: self-signed certificate"):
            async with wire.open("GET", f"https://localhost:{registry.port}/x"):
                pass


def test_registries_are_told_a_version_of_ollama() -> None:
    agent = user_agent("0.33.0")
    assert agent.startswith("ollama/0.33.0 (")
    assert "x86_64" not in agent and "aarch64" not in agent


REFUSED = caused(httpx.ConnectError("x"), ConnectionRefusedError(111, "x"))
UNKNOWN = caused(httpx.ConnectError("x"), socket.gaierror(-2, "x"))


@pytest.mark.parametrize(
    ("settings", "failure", "text"),
    [
        ({"HTTPS_PROXY": "http://p:9"}, REFUSED, "proxyconnect tcp: dial tcp p:9: connect: connection refused"),
        ({"https_proxy": "p:9"}, REFUSED, "proxyconnect tcp: dial tcp p:9: connect: connection refused"),
        ({"ALL_PROXY": "http://p"}, REFUSED, "proxyconnect tcp: dial tcp p:80: connect: connection refused"),
        ({"HTTPS_PROXY": "http://p:9"}, UNKNOWN, "proxyconnect tcp: dial tcp: lookup p: no such host"),
        ({"HTTPS_PROXY": "http://p:9"}, httpx.ConnectTimeout("x"), "proxyconnect tcp: dial tcp p:9: i/o timeout"),
        ({"HTTP_PROXY": "http://p:9"}, REFUSED, "dial tcp h:7: connect: connection refused"),
        ({"HTTPS_PROXY": "http://p:9", "NO_PROXY": "x,h"}, REFUSED, "dial tcp h:7: connect: connection refused"),
    ],
)
def test_a_failure_to_reach_a_proxy_is_the_proxys(
    settings: dict[str, str], failure: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConnectionFailed) as caught, translated_failures("GET", URL):
        raise failure
    assert str(caught.value) == f'Get "{URL}": {text}'
