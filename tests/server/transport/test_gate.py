"""The order in which a request is judged, and what waits for the application."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from server.transport.answers import JSON, TEXT, Answer
from server.transport.asgi import Receive, Scope, Send
from server.transport.gate import Gate
from server.transport.handover import hand_over
from server.transport.origins import Origins

pytestmark = pytest.mark.anyio

EARLY = {"/": Answer(200, [TEXT], b"alive")}
ROUTES = (("/api/tags", ("HEAD", "GET")), ("/api/chat", ("POST",)))
LOCAL = {"host": "127.0.0.1:11434"}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["query_string"] == b"broken":
        raise ZeroDivisionError
    await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
    await send({"type": "http.response.body", "body": b"inner"})


def make_gate(*, checks_hosts: bool = True, is_open: bool = True) -> Gate:
    gate = Gate(Origins.parse(()), checks_hosts=checks_hosts, early=EARLY)
    if is_open:
        gate.open(application, ROUTES)
    return gate


async def ask(
    gate: Gate, method: str, path: str, headers: Mapping[str, str] = LOCAL, query: bytes = b"", raw: bytes | None = None
) -> tuple[int, dict[str, list[str]], bytes]:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode() if raw is None else raw,
        "query_string": query,
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await gate(scope, receive, send)
    found: dict[str, list[str]] = {}
    for key, value in sent[0]["headers"]:
        found.setdefault(key.decode(), []).append(value.decode())
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


async def test_signs_of_life_do_not_wait_for_the_application() -> None:
    gate = make_gate(is_open=False)
    assert (await ask(gate, "GET", "/"))[2] == b"alive"
    assert (await ask(gate, "GET", "/", {"host": "evil.example"}))[0] == 403


async def test_all_else_waits_until_the_gate_is_open() -> None:
    gate = make_gate(is_open=False)
    waiting = [asyncio.create_task(ask(gate, "GET", path)) for path in ("/api/tags", "/nope")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    gate.open(application, ROUTES)
    assert [(await task)[0] for task in waiting] == [200, 404]


async def test_what_waits_is_let_go_when_there_will_be_no_application() -> None:
    gate = make_gate(is_open=False)
    waiting = asyncio.create_task(ask(gate, "GET", "/api/tags"))
    await asyncio.sleep(0)
    gate.shut()
    assert (await waiting)[0] == 503
    assert (await ask(gate, "GET", "/api/tags"))[0] == 503
    assert (await ask(gate, "GET", "/"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "told"),
    [
        ("GET", "/api/tags", LOCAL, 200, {"content-type"}),
        ("GET", "/api/tags", {"host": "evil.example"}, 403, {"content-length"}),
        ("GET", "/nope", {"host": "evil.example"}, 403, {"content-length"}),
        ("POST", "/api/tags", {"host": "evil.example"}, 403, {"content-length", "allow"}),
        ("GET", "/nope", LOCAL, 404, {"content-type", "content-length"}),
        ("PUT", "/api/chat", LOCAL, 405, {"content-type", "content-length", "allow"}),
        ("OPTIONS", "/api/tags", LOCAL, 405, {"content-type", "content-length", "allow"}),
        ("OPTIONS", "/api/tags", {"host": "localhost"}, 204, {"allow"}),
        ("OPTIONS", "/nope", {"host": "localhost"}, 204, set()),
        ("GET", "/api/tags", LOCAL | {"origin": "https://evil.example"}, 403, {"content-length"}),
        ("OPTIONS", "/api/chat", LOCAL | {"origin": "https://evil.example"}, 403, {"content-length", "allow"}),
        ("GET", "/api/tags", LOCAL | {"origin": "http://127.0.0.1:11434"}, 200, {"content-type"}),
    ],
)
async def test_origin_then_host_then_route(
    method: str, path: str, headers: Mapping[str, str], status: int, told: set[str]
) -> None:
    answer = await ask(make_gate(), method, path, headers)
    assert (answer[0], set(answer[1])) == (status, told)


async def test_a_preflight_is_answered_before_the_host_is_checked() -> None:
    headers = {"host": "evil.example", "origin": "http://localhost:3000"}
    status, told, _ = await ask(make_gate(), "OPTIONS", "/api/chat", headers)
    assert status == 204
    assert told["allow"] == ["POST"]
    assert told["vary"] == ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
    assert (await ask(make_gate(), "GET", "/api/tags", headers))[0] == 403


@pytest.mark.parametrize("path", ["/api/tags", "/nope", "/"])
async def test_an_allowed_origin_is_told_on_every_answer(path: str) -> None:
    _, told, _ = await ask(make_gate(), "GET", path, LOCAL | {"origin": "http://localhost:3000"})
    assert (told["access-control-allow-origin"], told["vary"]) == (["http://localhost:3000"], ["Origin"])


async def test_hosts_are_not_checked_on_other_addresses() -> None:
    assert (await ask(make_gate(checks_hosts=False), "GET", "/api/tags", {"host": "evil.example"}))[0] == 200


async def test_redirects_come_before_all_checks() -> None:
    status, told, _ = await ask(make_gate(), "GET", "/api/tags/", {"host": "evil.example"}, b"a=1")
    assert (status, told["location"]) == (301, ["/api/tags?a=1"])


@pytest.mark.parametrize("raw", [b"/api/%zz", b"/api/%2", b"/%"])
async def test_a_badly_encoded_path_is_refused(raw: bytes) -> None:
    assert (await ask(make_gate(), "GET", "/api/x", raw=raw))[0] == 400


async def test_a_request_about_the_server_itself_is_no_path() -> None:
    assert (await ask(make_gate(), "OPTIONS", "*"))[0] == 200
    assert (await ask(make_gate(), "GET", "*"))[0] == 400


async def test_an_answer_that_broke_off_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        await ask(make_gate(), "GET", "/api/tags", query=b"broken")
    assert "GET /api/tags failed" in caplog.text


async def test_what_is_handed_over_answers_when_the_application_has_returned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        order.append("answered")
        await application(scope, receive, send)

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        hand_over(scope, answer)
        order.append("returned")

    gate = make_gate(is_open=False)
    gate.open(inner, ROUTES)
    status, headers, body = await ask(gate, "GET", "/api/tags", LOCAL | {"origin": "http://localhost"})
    assert order == ["returned", "answered"]
    assert (status, body) == (200, b"inner")
    assert headers["access-control-allow-origin"] == ["http://localhost"]
    assert "| 200 |" in capsys.readouterr().out


async def test_what_is_handed_over_may_break_off_too(caplog: pytest.LogCaptureFixture) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        hand_over(scope, application)

    gate = make_gate(is_open=False)
    gate.open(inner, ROUTES)
    with pytest.raises(ZeroDivisionError):
        await ask(gate, "GET", "/api/tags", query=b"broken")
    assert "GET /api/tags failed" in caplog.text


async def test_every_answer_is_a_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    await ask(make_gate(), "GET", "/nope", query=b"a=1")
    assert "| 404 | " in (line := capsys.readouterr().out) and line.endswith('| GET      "/nope?a=1"\n')
