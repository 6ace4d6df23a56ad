"""`puna selftest` with the built-in model: what a newcomer is told to run must be green."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools.server_process import ROOT, clean_environment

pytestmark = pytest.mark.model


def test_the_selftest_passes_with_the_builtin_model() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "selftest", "--spawn"],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skip " not in done.stdout
