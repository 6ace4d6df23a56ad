"""A scripted server, and `puna` run inside the test's process against it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.cli.environment import Environment
from server.cli.main import execute
from server.cli.terminal import Output
from server.settings import Host
from tests.server.cli.fake_server import FakeServer

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def shown(self) -> str:
        """Standard error without the control sequences of the progress lines."""
        return _CONTROLS.sub("", self.stderr)


Puna = Callable[..., Result]


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def puna(fake: FakeServer, tmp_path: Path) -> Puna:
    """`puna("list", "qwen", stdin="")` runs the command against the scripted server; no stream is a terminal."""

    def run(*argv: str, stdin: str = "", host: Host | None = None) -> Result:
        stdout, stderr = io.StringIO(), io.StringIO()
        environment = Environment(host or Host(port=fake.port), tmp_path)
        status = execute(argv, Output(io.StringIO(stdin), stdout, stderr, environment))
        return Result(status, stdout.getvalue(), stderr.getvalue())

    return run
