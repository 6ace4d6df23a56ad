"""What figures belong to: the machine, the state of the checkout, and how the llama.cpp that Puna loads was compiled.

python -m bench.machine              all of it, as JSON
python -m bench.machine --native     what only a process can say that loads llama.cpp
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
BUILT = Path(sys.prefix) / "puna-build"
"""Written by tools/setup.sh: backend, options and flags; C flags; C++ flags."""
NO_GPU = (
    "the llama.cpp that Puna runs on finds no GPU: `make setup BACKEND=cuda` (or vulkan, rocm, metal) compiles one "
    "for the GPU of this machine; without one, `--gpu --quick` tries out what would be measured"
)
PACKAGES = ("puna", "llama-cpp-python", "numpy", "uvicorn", "starlette")


@dataclass(frozen=True)
class Compilation:
    """How a llama.cpp was compiled."""

    backend: str
    options: Mapping[str, str]
    c_flags: str
    cxx_flags: str


def installed(path: Path = BUILT) -> Compilation | None:
    """What tools/setup.sh noted; None where it has not set up this environment."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    if len(lines) < 3:
        return None
    build, c_flags, cxx_flags = lines[:3]
    backend, *words = build.split()
    return Compilation(backend, definitions(words), c_flags, cxx_flags)


def definitions(words: Iterable[str]) -> dict[str, str]:
    """Those of a command line's words that are CMake's: -DNAME=VALUE, or -DNAME:TYPE=VALUE."""
    found = {}
    for word in words:
        if word.startswith("-D") and "=" in word:
            name, _, value = word.removeprefix("-D").partition("=")
            found[name.partition(":")[0]] = value
    return found


@dataclass(frozen=True)
class Native:
    """What the llama.cpp that Puna loads says of itself; `has_gpu`: it can compute on one that is there."""

    has_gpu: bool
    system_info: str


@cache
def ask_native() -> Native:
    """A process of its own is asked: to load llama.cpp changes the environment, which the peer would inherit."""
    command = [sys.executable, "-m", "bench.machine", "--native"]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Native(**json.loads(answer))


def require_gpu() -> None:
    """Raises: SystemExit, which says what to do."""
    if not ask_native().has_gpu:
        raise SystemExit(NO_GPU)


def _load_native() -> Native:
    from models.llama.binding import has_gpu, lib, start_backends
    from models.llama.logs import native_log

    native_log.install()
    start_backends()
    return Native(has_gpu(), lib.llama_print_system_info().decode().strip(" |"))


def describe_puna() -> dict[str, object]:
    """`compilation` is None where tools/setup.sh did not set up this environment."""
    compilation = installed()
    return describe_checkout() | {
        "compilation": compilation and asdict(compilation),
        "system_info": ask_native().system_info,
    }


def describe_machine() -> dict[str, object]:
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False),
        "threads": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": _gpus(),
        "system": platform.platform(),
    }


def describe_checkout() -> dict[str, object]:
    """`commit` is None outside a git checkout; `is_dirty`: files that git follows were changed since."""
    commit = _output("git", "rev-parse", "HEAD")
    versions = {name: _version(name) for name in PACKAGES}
    is_dirty = bool(_output("git", "status", "--porcelain", "--untracked-files=no"))
    return {"commit": commit, "is_dirty": is_dirty, "versions": {"python": platform.python_version()} | versions}


def _version(package: str) -> str | None:
    """None: it is not installed, but found in some other way."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _gpus() -> list[str]:
    """Those that NVIDIA's driver knows, with their memory and the driver's version."""
    found = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return found.splitlines() if found else []


def _output(*command: str) -> str | None:
    """None: there is no such program, or it failed."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    is_native = sys.argv[1:] == ["--native"]
    found = asdict(_load_native()) if is_native else {"machine": describe_machine(), "puna": describe_puna()}
    print(json.dumps(found, indent=1))
