"""The server with parts of the test's choice, on a real socket, in a thread of the test process."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from models.library import Library
from registry.store import Store
from server.app import create_app, routes
from server.builtin import Builtin
from server.generation import Generation
from server.routes.incoming import Parts
from server.scheduler import Scheduler
from server.serving import EARLY_ANSWERS, HttpServer, bind
from server.settings import Settings
from server.transfers import Transfers
from server.transport.gate import Gate
from server.transport.origins import Origins
from tests.fakes.generation import FakeGeneration


class FakeScheduler:
    """No runners."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def running(self) -> list[Any]:
        return self.rows

    async def close(self) -> None:
        pass


def fake_parts(folder: Path, generation: FakeGeneration, environment: Mapping[str, str] | None = None) -> Parts:
    """Real store and library in `folder`, everything else a fake."""
    settings = Settings.from_env({"HOME": str(folder), "PUNA_BUILTIN": "0"} | dict(environment or {}))
    store = Store(settings.models_dir)
    store.maintain()
    library = Library(store)
    builtin = Builtin(store, library, enabled=settings.builtin)
    return Parts(
        settings=settings,
        store=store,
        library=library,
        builtin=builtin,
        scheduler=cast(Scheduler, FakeScheduler()),
        generation=cast(Generation, generation),
        transfers=Transfers(store, library, builtin, home=folder),
    )


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class LiveServer:
    """Serves from entering to leaving the block."""

    def __init__(self, parts: Parts, *, checks_hosts: bool = True) -> None:
        self.parts = parts
        self._gate = Gate(Origins.parse(()), checks_hosts=checks_hosts, early=EARLY_ANSWERS)
        self._gate.open(create_app(parts), routes())
        self._listener = bind("127.0.0.1", 0)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._http: HttpServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_up = threading.Event()

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._http = HttpServer(self._gate)
            self._is_up.set()
            await self._http.serve([self._listener])
            await self.parts.transfers.close()

        asyncio.run(main())

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None and self._http is not None
        self._loop.call_soon_threadsafe(self._http.stop)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server does not end"

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None
    ) -> Reply:
        """One exchange on a connection of its own. `body`: bytes as they are, anything else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, raw, {k: v for k, v in (headers or {}).items() if v is not None})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str | None] | None = None) -> Reply:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None) -> Reply:
        return self.request("POST", path, body, headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, data: bytes) -> bytes:
        """Everything that comes back until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received
