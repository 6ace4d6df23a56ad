"""Start a server on a free port, ask the built-in model some questions as a user would, stop it all: `make demo`."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.server_process import clean_environment, puna_server

COMMANDS = (
    ("list",),
    ("run", "pico", "Hello!"),
    ("run", "pico", "How do I pull a model?"),
    ("run", "pico", "Does Puna use my GPU?"),
    ("run", "pico", "How long does a model stay loaded?"),
    ("ps",),
    ("stop", "pico"),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="puna-demo-") as folder:
        with puna_server(Path(folder), "--with-builtin", settings={"PUNA_BUILTIN": "1"}) as server:
            print(f"Puna listens on {server.url} (started in {server.started_after_s:.1f} s)", flush=True)
            env = clean_environment() | {"OLLAMA_HOST": server.host, "HOME": folder}
            status = 0
            for command in COMMANDS:
                print(f"\n$ puna {shlex.join(command)}", flush=True)
                status |= subprocess.run(
                    [sys.executable, "-m", "server.cli", *command], env=env, check=False
                ).returncode
        print("\nThe demo's server has ended. `make serve` starts one that stays.")
    return status


if __name__ == "__main__":
    sys.exit(main())
