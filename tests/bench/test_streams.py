"""The benchmark of streams: every piece that the scripted engine says comes through, whatever the dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.scripted import STEP
from bench.streams import PATHS, create_model, run_round, scripted_server
from tools.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[[str], Path]) -> Iterator[ServerProcess]:
    with scripted_server(tmp_path_factory.mktemp("server")) as server:
        create_model(server, tiny_model("chatml"))
        yield server


@pytest.mark.parametrize("path", PATHS)
def test_every_piece_of_every_stream_comes_through(server: ServerProcess, path: str) -> None:
    found = run_round(server, path, n_chunks=5)
    assert found.n_chunks == 5 * STEP
    assert found.duration_s > 0
