"""`serve`: bind, answer signs of life at once, bring up the application behind the gate, end on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

import uvicorn

from registry.errors import RegistryError
from registry.gojson import encode
from server import logs
from server.settings import Settings, as_map
from server.transport.answers import JSON, TEXT, Answer
from server.transport.gate import Gate
from server.transport.hosts import is_loopback
from server.transport.origins import BadOrigin, Origins
from server.transport.protocol import Protocol
from server.version import VERSION

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

BACKLOG = 4096
KEEP_ALIVE_S = 24 * 3600
"""Compat: http-api 1.2: idle connections are not closed; TCP notices those whose other end is gone."""

SHUTDOWN_S = 5
EARLY_ANSWERS = {
    "/": Answer(200, [TEXT], b"Ollama is running"),
    "/api/version": Answer(200, [JSON], encode({"version": VERSION})),
}
"""Compat: http-api 6.1: the first sentence is what clients look for."""


class BindFailed(Exception):
    """The address cannot be listened on; the text is Go's."""


def serve(settings: Settings, *, with_builtin: bool = False) -> int:
    """Serve until a signal; the exit status. `with_builtin` puts the built-in model into the store first."""
    logs.configure(settings.log_level)
    for problem in settings.problems:
        logger.warning("%s", problem)
    try:
        origins = Origins.parse(settings.origins)
        listener = bind(settings.host.host, settings.host.port)
    except BadOrigin as error:
        print(f"panic: {error}", file=sys.stderr)
        return 2
    except BindFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    raise_open_files()
    logger.info("server config env=%s", as_map(settings))
    address = listener.getsockname()
    logger.info("Listening on %s (version %s)", _shown(*address[:2]), VERSION)
    gate = Gate(origins, checks_hosts=is_loopback(address[0]), early=EARLY_ANSWERS)
    try:
        asyncio.run(_Serving(settings, gate, with_builtin=with_builtin).run(listener))
    except RegistryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


class _Serving:
    """The HTTP server and, behind the gate, the application: each ends the other."""

    def __init__(self, settings: Settings, gate: Gate, *, with_builtin: bool) -> None:
        self._settings = settings
        self._gate = gate
        self._with_builtin = with_builtin
        self._stopping = asyncio.Event()
        self._http = HttpServer(gate)

    async def run(self, listener: socket.socket) -> None:
        """Raises: what kept the application from coming up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._http.stop)
        application = asyncio.create_task(self._run_application())
        application.add_done_callback(lambda _: self._http.stop())
        try:
            await self._http.serve([listener])
        finally:
            self._stopping.set()
            await application

    async def _run_application(self) -> None:
        app, paths = await asyncio.to_thread(self._bring_up)
        async with app.router.lifespan_context(app):
            self._gate.open(app, paths)
            gc.freeze()  # the application stays: no collection need look at it, while streams wait
            await self._stopping.wait()

    def _bring_up(self) -> tuple[FastAPI, Iterable[tuple[str, Iterable[str]]]]:
        """Import and build the application, and maintain the store: all that requests wait for. Blocks."""
        from server.app import build_parts, create_app, routes  # here: it takes longer than all else up to now

        parts = build_parts(self._settings)
        done = parts.store.maintain(prune=not self._settings.no_prune)
        logger.info("unused blobs removed: %d", done.n_blobs_removed)
        if self._with_builtin:
            parts.builtin.install()
        return create_app(parts), routes()


class HttpServer(uvicorn.Server):
    """uvicorn's server as it is set up here. Signals are not its business."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        config = uvicorn.Config(
            gate,
            http=Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=1,  # see Listener
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def stop(self) -> None:
        """End soon. # Compat: registry-store-cli 9: nothing is drained, a second signal changes nothing."""
        self.should_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.close()
        self._gate.shut()


# --------------------------------------------------------------------------------------------------------------------
# The listening socket


class Listener(socket.socket):
    """Lets `BACKLOG` connections wait, whatever it is told.

    asyncio takes the number also for how often it may accept in a row, and where there are no file descriptors left, it
    fails and logs that often, and tries again that often a second later. Told 1, it does so once in a second.
    """

    def listen(self, backlog: int = BACKLOG, /) -> None:
        super().listen(BACKLOG)


def raise_open_files() -> None:
    """Allow as many connections as the system lets this process have. # Compat: Go's runtime does so at its start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bind(host: str, port: int) -> Listener:
    """A listening socket; an empty host means all interfaces, of both families where there are two.

    Raises: BindFailed.
    """
    family, address = _resolve(host, port)
    listener = Listener(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit what follows. As with Go, a token is sent at once, and does not wait until the
        # client has acknowledged the one before it, which may take 40 ms (asyncio sees to that for sockets of its own
        # making only); and a client whose machine is gone is noticed within minutes.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), 15)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(host)))
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or 0).lower()
        raise BindFailed(f"listen tcp {_shown(host, port)}: bind: {reason}") from error
    return listener


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]:
    if not host:
        return (socket.AF_INET6, ("::", port)) if socket.has_dualstack_ipv6() else (socket.AF_INET, ("0.0.0.0", port))
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BindFailed(f"listen tcp: lookup {host}: no such host") from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _shown(host: object, port: object) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
