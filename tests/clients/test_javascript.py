"""OpenAI's and Ollama's libraries for JavaScript, unchanged, on Node: what their users do, with the built-in model."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.server_process import ServerProcess

FOLDER = Path(__file__).parent / "javascript"
TESTS = sorted(FOLDER.glob("*.test.mjs"))
NODE = shutil.which("node")
LIMIT_S = 120

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(NODE is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").exists(), reason="not installed: tools/clients.sh does that (make test-clients)"
    ),
]


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_a_user_of_it_gets_what_the_library_promises(file: Path, pico_server: ServerProcess) -> None:
    command = [str(NODE), "--test", str(file)]
    environment = os.environ | {"PUNA_URL": pico_server.url}
    done = subprocess.run(
        command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:]
