"""Start a server of our own on a free loopback port and stop it by its process id: for tests, demo and benchmarks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent
PUNA = (sys.executable, "-m", "server")
FOREIGN = ("OLLAMA_", "PUNA_", "LLAMA_ARG_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
STOP_S = 15.0


class ServerFailed(Exception):
    """The server ended or stayed silent before it was ready; carries the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """This process's environment without what would reach into a server: its own settings and proxies."""
    return {k: v for k, v in os.environ.items() if not k.upper().startswith(FOREIGN)}


class ServerProcess:
    """Context manager around one server process that its command makes listen on 127.0.0.1:`port`.

    `ready_path` answers 200 once requests are served. The log goes to `log`. Raises: ServerFailed on entry.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        env: Mapping[str, str],
        log: Path,
        ready_path: str = "/",
        limit_s: float = 60.0,
    ) -> None:
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self.log = log
        self.started_after_s = 0.0
        self._command = command
        self._env = env
        self._ready_path = ready_path
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server has not been started"
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while the server runs."""
        return self._process.poll() if self._process else None

    def start(self) -> Self:
        began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        try:
            while not self._is_ready():
                if self._process.poll() is not None:
                    raise ServerFailed(f"exit status {self._process.returncode}\n{self.log_end()}")
                if time.monotonic() - began > self._limit_s:
                    raise ServerFailed(f"no answer within {self._limit_s:.0f} s\n{self.log_end()}")
                time.sleep(0.01)
        except BaseException:
            self.stop()
            raise
        self.started_after_s = time.monotonic() - began
        return self

    def stop(self) -> None:
        """Ask it to end, as a service manager does; kill it when it does not within STOP_S."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log_end(self, n_lines: int = 30) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-n_lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._ready_path, timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def puna_server(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> ServerProcess:
    """Puna with everything it writes below `folder`: store, keys, log. The built-in model is off unless `settings` say.

    `arguments` follow `serve`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    own = {
        "HOME": str(folder),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "PUNA_BUILTIN": "0",
    }
    env = clean_environment() | own | dict(settings or {})
    command = (*PUNA, *arguments)
    return ServerProcess(command, port=port, env=env, log=folder / "server.log", ready_path="/api/version")
