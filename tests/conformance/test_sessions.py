"""Every recorded session, replayed against a real server process and compared field by field, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.exchanges import World
from tests.conformance.kept import judge, read_table
from tests.conformance.replay import replay_session
from tests.conftest import StartServer
from tools.server_process import ServerProcess

SESSIONS: dict[str, dict[str, Any]] = {
    session["session"]: session
    for session in (json.loads(f.read_text("utf-8")) for f in sorted((Path(__file__).parent / "golden").glob("*.json")))
}
ServerWith = Callable[[Mapping[str, str]], ServerProcess]


@pytest.fixture(scope="module")
def server_with(start_server: StartServer) -> ServerWith:
    """One server for each set of settings that a session was recorded with."""
    running: dict[tuple[tuple[str, str], ...], ServerProcess] = {}

    def get(settings: Mapping[str, str]) -> ServerProcess:
        key = tuple(sorted(settings.items()))
        if key not in running:
            running[key] = start_server(**settings)
        return running[key]

    return get


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session-models")


@pytest.mark.model
@pytest.mark.parametrize("name", SESSIONS)
def test_answers_equal_the_recording(name: str, server_with: ServerWith, models_folder: Path) -> None:
    session = SESSIONS[name]
    world = World(server_with(session.get("env", {})).url, models_folder)
    verdict = judge(name, replay_session(world, session, strict=True, merge=False), read_table())
    assert {x: [str(d) for d in found] for x, found in verdict.unexplained.items()} == {}
    assert [str(row) for row in verdict.outlived] == [], "nothing differs there: take it out of docs/differences.md"
