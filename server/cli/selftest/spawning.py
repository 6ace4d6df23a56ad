"""A server of its own for the self-test: free port, empty store, gone afterwards."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.cli.client import Client
from server.cli.environment import Environment
from server.cli.errors import CliError, ConnectionFailed
from server.cli.transport import Transport
from server.settings import Host

START_S = 60.0
STOP_S = 15.0
_LOG_END = 2000


@contextmanager
def spawned_server(environment: Environment) -> Iterator[Client]:
    """A client of a server that lives as long as the block. Raises: CliError when it does not come up."""
    with tempfile.TemporaryDirectory(prefix="puna-selftest-") as folder:
        home, log = Path(folder), Path(folder) / "server.log"
        host = Host(port=_free_port())
        process = _start(home, host, log)
        try:
            client = Client(Transport(host, user_agent=environment.user_agent))
            _wait_until_it_answers(client, process, log)
            yield client
        finally:
            _stop(process)


def _start(home: Path, host: Host, log: Path) -> subprocess.Popen[bytes]:
    """`env` adds to the environment without reading it, which is `server.settings`' business alone."""
    variables = {"HOME": home, "OLLAMA_HOST": host.address, "OLLAMA_MODELS": home / "models", "PUNA_BUILTIN": 1}
    added = [f"{name}={value}" for name, value in variables.items()]
    with log.open("wb") as stream:
        return subprocess.Popen(
            ["env", *added, sys.executable, "-m", "server", "--with-builtin"], stdout=stream, stderr=stream
        )


def _wait_until_it_answers(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            client.list_models()
            return
        except ConnectionFailed as error:
            if process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
                continue
            tail = log.read_text("utf-8", "replace")[-_LOG_END:]
            raise CliError(f"the server did not start:\n{tail}") from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
