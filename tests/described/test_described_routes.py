"""Requests that schemathesis makes up for every described route: no failure that is not specified, and no hang."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.described.description import describe
from tests.scripted_models import create_models
from tools.server_process import ServerProcess

SCHEMATHESIS = Path(__file__).parent.parent.parent / ".cache" / "clients" / "bin" / "schemathesis"
N_EACH = int(os.environ.get("TEST_SCHEMATHESIS_N", "10"))
"""Requests for each route. A longer search, by hand: TEST_SCHEMATHESIS_N=1000."""
LIMIT_S = 60 + 10 * N_EACH

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="not installed: tools/clients.sh does that (make test)"),
]


@pytest.fixture(scope="module")
def server(start_server: StartServer, tiny_model: Callable[[str], Path]) -> ServerProcess:
    server = start_server(OLLAMA_CONTEXT_LENGTH="256")
    create_models(server, tiny_model)
    return server


def test_no_request_makes_the_server_fail_or_hang(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(describe(("chat", "agent", "bert"))), "utf-8")
    command = [
        str(SCHEMATHESIS), "run", "openapi.json", "--url", server.url, "--checks", "no_unspecified_failure",
        "--phases", "fuzzing", "--max-examples", str(N_EACH), "--request-timeout", "20", "--seed", "1",
        "--workers", "2", "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure",
    ]  # fmt: skip
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated and int(generated[1]) > 10 * N_EACH, "hardly anything was tried"
    assert server.exit_code() is None
