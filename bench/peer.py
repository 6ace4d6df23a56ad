"""Build llama-server once, from the very sources that the pinned llama-cpp-python carries.

Each way of compiling it has a folder of its own in bench/.work, so that none is lost to another.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench.machine import ROOT, Compilation, definitions, installed

WORK = Path(__file__).parent / ".work"
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_ALL_WARNINGS": "OFF",
}
TARGETS = ("llama-server", "llama-bench")
GPU_OPTIONS = ("GGML_CUDA", "GGML_VULKAN", "GGML_METAL", "GGML_HIP", "CMAKE_CUDA_", "CMAKE_HIP_", "GPU_TARGETS")
"""How the names begin of what says which GPUs llama.cpp is compiled for."""
TELLING = (
    "CMAKE_BUILD_TYPE", "CMAKE_C_COMPILER", "CMAKE_C_FLAGS", "CMAKE_CXX_COMPILER", "CMAKE_CXX_FLAGS",
    "CMAKE_CXX_FLAGS_RELEASE", "CMAKE_CUDA_ARCHITECTURES", "CMAKE_CUDA_FLAGS", "CMAKE_HIP_ARCHITECTURES",
    "GPU_TARGETS", "GGML_AVAILABLE_BACKENDS", "GGML_CUDA", "GGML_HIP", "GGML_METAL", "GGML_NATIVE", "GGML_OPENMP",
    "GGML_VULKAN",
)  # fmt: skip
"""What is kept of CMake's cache beside figures."""
SYSTEM_INFO = (
    "import ctypes, sys; info = ctypes.CDLL(sys.argv[1]).llama_print_system_info; "
    "info.restype = ctypes.c_char_p; print(info().decode())"
)


class Flags(Enum):
    """What the peer's compiler is told."""

    OWN = "own"
    """Nothing: as the authors of llama.cpp build it."""
    SAME = "same"
    """What it was told for Puna's llama.cpp, options of the computation included."""


@dataclass(frozen=True)
class PeerBuild:
    """One way of compiling llama-server, and where that lies."""

    folder: Path
    options: Mapping[str, str]

    @property
    def server(self) -> Path:
        return self.folder / "bin" / "llama-server"

    @property
    def is_there(self) -> bool:
        """Whether it was built, and with these options."""
        cached = read_cache(self.folder)
        return self.server.exists() and all(cached.get(name) == value for name, value in self.options.items())

    def commands(self, source: Path, n_jobs: int) -> list[list[str]]:
        """Configure, compile."""
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        options = [f"-D{name}={value}" for name, value in self.options.items()]
        return [
            ["cmake", "-S", str(source), "-B", str(self.folder), *generator, *options],
            ["cmake", "--build", str(self.folder), "--target", *TARGETS, "--parallel", str(n_jobs)],
        ]


def choose(flags: Flags, puna: Compilation | None, *, on_gpu: bool, work: Path = WORK) -> PeerBuild:
    """The way that suits Puna's `puna`: for the same GPUs, if any shall be used. Raises: SystemExit."""
    if puna is None:
        if on_gpu or flags is Flags.SAME:
            raise SystemExit("how Puna's llama.cpp was compiled is not known; `make setup` notes it")
        return PeerBuild(work / "llama.cpp-build", OPTIONS)
    name, options = "llama.cpp-build", dict(OPTIONS)
    if on_gpu or flags is Flags.SAME:
        name += f"-{puna.backend}" if puna.backend != "cpu" else ""
        options |= _beginning(puna.options, GPU_OPTIONS)
    if flags is Flags.SAME:
        name += "-same"
        options |= _beginning(puna.options, ("GGML_",))
        options |= {"CMAKE_C_FLAGS": puna.c_flags, "CMAKE_CXX_FLAGS": puna.cxx_flags}
    return PeerBuild(work / name, options)


def _beginning(options: Mapping[str, str], beginnings: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in options.items() if name.startswith(beginnings)}


def find_or_build(flags: Flags | None, *, on_gpu: bool) -> Path:
    """The path of llama-server; compiled first when it is not there (about 9 minutes on 2 cores).

    LLAMA_SERVER in the environment names another binary to measure against; `flags` are None when nobody asked for any.
    Raises: SystemExit.
    """
    if other := os.environ.get("LLAMA_SERVER"):
        if flags is not None:
            raise SystemExit("LLAMA_SERVER names a peer that is compiled already: --peer-flags would have no effect")
        return Path(other)
    wanted = choose(flags or Flags.OWN, installed(), on_gpu=on_gpu)
    if not wanted.is_there:
        build(wanted, sources(pinned_version()), n_jobs=os.cpu_count() or 1)
    return wanted.server


def build(wanted: PeerBuild, source: Path, *, n_jobs: int) -> None:
    """Raises: SystemExit, which names the log."""
    print(f"building llama-server in {wanted.folder}; this takes some minutes, once", flush=True)
    wanted.server.unlink(missing_ok=True)  # or one of other options would seem to be this one, should this fail
    log = wanted.folder.with_suffix(".log")
    with log.open("wb") as out:
        for command in wanted.commands(source, n_jobs):
            if subprocess.run(command, stdout=out, stderr=out, check=False).returncode:
                raise SystemExit(f"llama-server cannot be built; the end of {log} says why")


def describe(server: Path) -> dict[str, object]:
    """How a llama-server was compiled, as far as its build folder is still around it."""
    cached = read_cache(server.parent.parent)
    options = {name: cached[name] for name in TELLING if name in cached}
    return {"server": str(server), "options": options, "system_info": _system_info(server)}


def read_cache(folder: Path) -> dict[str, str]:
    """What CMake was configured with; empty where it was not. Source: CMakeCache.txt, NAME:TYPE=VALUE a line."""
    path = folder / "CMakeCache.txt"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return definitions(f"-D{line}" for line in lines if not line.startswith(("#", "//")))


def _system_info(server: Path) -> str:
    """What its llama.cpp says of the instructions that it uses; asked by a process of its own, as Puna has one too."""
    library = next(iter(sorted(server.parent.glob("libllama.*"))), None)
    if library is None:
        return ""
    asked = subprocess.run([sys.executable, "-c", SYSTEM_INFO, str(library)], capture_output=True, text=True)
    return asked.stdout.strip().strip(" |")


def pinned_version() -> str:
    found = re.search(r'"llama-cpp-python==([0-9.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert found, "pyproject.toml pins llama-cpp-python exactly"
    return found[1]


def sources(version: str) -> Path:
    """vendor/llama.cpp of the source distribution, fetched from the package index and unpacked."""
    folder = WORK / f"llama_cpp_python-{version}"
    if not folder.exists():
        archive = _fetch(version)
        with tarfile.open(archive) as tar:
            tar.extractall(WORK, filter="data")
        archive.unlink()
    return folder / "vendor" / "llama.cpp"


def _fetch(version: str) -> Path:
    WORK.mkdir(parents=True, exist_ok=True)
    package = f"llama-cpp-python=={version}"
    wanted = ["--no-deps", "--no-binary", "llama-cpp-python", "--quiet", "--dest", str(WORK)]
    subprocess.run([*pip(), "download", *wanted, package], check=True)
    return next(WORK.glob(f"llama_cpp_python-{version}*.tar.gz"))


def pip() -> list[str]:
    """uv's environments have no pip; the one that holds uv does."""
    tools = ROOT / ".cache" / "tools" / "bin" / "python"
    return [str(tools if tools.exists() else sys.executable), "-m", "pip", "--disable-pip-version-check"]
