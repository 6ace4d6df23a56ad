"""Frameworks that know Ollama, unchanged, each in one script: what their users do, with the built-in model."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.server_process import ServerProcess

SCRIPTS = sorted((Path(__file__).parent / "frameworks").glob("with_*.py"))
PYTHON = Path(__file__).parent.parent.parent / ".cache" / "clients" / "bin" / "python"
NO_CALLS_HOME = {
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
}
LIMIT_S = 120

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not PYTHON.exists(), reason="not installed: tools/clients.sh does that (make test-clients)"),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_user_of_it_gets_what_the_library_promises(script: Path, pico_server: ServerProcess) -> None:
    environment = os.environ | NO_CALLS_HOME
    command = [str(PYTHON), str(script), pico_server.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
