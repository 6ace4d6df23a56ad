"""The outermost application: every request passes it, in the order CORS → Host check → route.

It answers `/` and `/api/version` by itself, so that a server is seen alive from its first moment, while the real
application is still being imported and the store maintained; all other requests wait until it is opened.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from server.transport import access_log
from server.transport.answers import TEXT, Answer, send_answer
from server.transport.asgi import Application, Header, Message, Receive, Scope, Send, header
from server.transport.handover import accept_handover
from server.transport.hosts import HostKind, judge_host
from server.transport.origins import Origins, is_same_origin
from server.transport.routing import Missing, Redirect, RouteTable, missing_answer, redirect_answer

logger = logging.getLogger(__name__)

SIGNS_OF_LIFE = ("HEAD", "GET")


class Gate:
    """An ASGI application around another one, which `open` brings.

    `early` are answers (by path, to HEAD and GET) that do not wait for it. `checks_hosts`: the server listens on a
    loopback address.
    """

    def __init__(self, origins: Origins, *, checks_hosts: bool, early: Mapping[str, Answer]) -> None:
        self._origins = origins
        self._checks_hosts = checks_hosts
        self._early = early
        self._routes = RouteTable((path, SIGNS_OF_LIFE) for path in early)
        self._inner: Application | None = None
        self._opened = asyncio.Event()

    def open(self, inner: Application, routes: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Let the waiting requests, and all later ones, through to the routes of `inner`."""
        self._routes = RouteTable([*((path, SIGNS_OF_LIFE) for path in self._early), *routes])
        self._inner = inner
        self._opened.set()

    def shut(self) -> None:
        """Let go of the requests that still wait: there will be no application for them."""
        self._opened.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "there is no other protocol, and lifetimes are not the gate's"
        began_ns = time.monotonic_ns()
        method, path = scope["method"], scope["path"]
        early = self._early.get(path) if method in SIGNS_OF_LIFE else None
        if early is None and self._inner is None:
            await self._opened.wait()
            if self._inner is None:
                await send_answer(Answer(503, [(b"connection", b"close")]), method, send)
                return
        verdict = None if early else self._judge_path(scope)
        if isinstance(verdict, Answer):
            await send_answer(verdict, method, send)
            return
        reply = _Reply(send)
        if verdict is not None and verdict.allow:
            reply.headers.append((b"allow", verdict.allow.encode()))
        try:
            answer = self._refuse(scope, reply.headers) or early or (missing_answer(verdict) if verdict else None)
            if answer is not None:
                await send_answer(answer, method, reply.send)
            else:
                await self._forward(scope, receive, reply)
        finally:
            access_log.write_line(scope, reply.status, time.monotonic_ns() - began_ns)

    def _judge_path(self, scope: Scope) -> Answer | Missing | None:
        """None where there is a route; redirects do not pass the checks. # Compat: Go net/http, gin."""
        if scope["path"] == "*":
            return Answer(200 if scope["method"] == "OPTIONS" else 400)  # about the server, not about a path
        if b"%" in scope["raw_path"] and _is_badly_encoded(scope["raw_path"]):
            return Answer(400, [TEXT, (b"connection", b"close")], b"400 Bad Request")
        verdict = self._routes.judge(scope["method"], scope["path"])
        if isinstance(verdict, Redirect):
            return redirect_answer(verdict, scope["method"], scope["query_string"])
        return verdict

    def _refuse(self, scope: Scope, headers: list[Header]) -> Answer | None:
        """What is answered without a route: refusals and preflights; `headers` takes what the answer must carry."""
        host = header(scope, b"host").decode("latin-1")
        origin = header(scope, b"origin").decode("latin-1")
        method = scope["method"]
        if origin and not is_same_origin(origin, host):
            if not self._origins.allow(origin):
                return Answer(403)
            headers += self._origins.headers(origin, is_preflight=method == "OPTIONS")
            if method == "OPTIONS":
                return Answer(204)
        if self._checks_hosts:
            kind = judge_host(host)
            if kind is None:
                return Answer(403)
            if kind is HostKind.NAME and method == "OPTIONS":
                return Answer(204)
        return None

    async def _forward(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        """Run the route; what nobody foresaw has been answered by the application, and comes here for the log."""
        assert self._inner is not None, "nothing is forwarded before the gate is open"
        handed_over = accept_handover(scope)
        try:
            await self._inner(scope, receive, reply.send)
            for answer in handed_over:
                await answer(scope, receive, reply.send)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if not reply.is_complete:
                raise  # an answer that has begun can only be broken off


class _Reply:
    """Sends on, adds headers to the answer, and remembers its status (0 before there is one)."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.headers: list[Header] = []
        self.status = 0
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if not self.status and message["type"] == "http.response.start":
            self.status = message["status"]
            if self.headers:
                message["headers"] = [*message.get("headers", ()), *self.headers]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.is_complete = True


def _is_badly_encoded(raw_path: bytes) -> bool:
    return any(len(part) < 2 or not _HEX.issuperset(part[:2]) for part in raw_path.split(b"%")[1:])


_HEX = frozenset(b"0123456789abcdefABCDEF")
