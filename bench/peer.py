"""Build llama-server once, from the very sources that the pinned llama-cpp-python carries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = Path(__file__).parent / ".work"
SERVER = WORK / "llama.cpp-build" / "bin" / "llama-server"
OPTIONS = (
    "CMAKE_BUILD_TYPE=Release",
    "LLAMA_CURL=OFF",
    "LLAMA_OPENSSL=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_USE_PREBUILT_UI=OFF",
    "LLAMA_ALL_WARNINGS=OFF",
)


def pinned_version() -> str:
    found = re.search(r'"llama-cpp-python==([0-9.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert found, "pyproject.toml pins llama-cpp-python exactly"
    return found[1]


def build(n_jobs: int | None = None) -> Path:
    """The path of llama-server; compiled first when it is not there (about 9 minutes on 2 cores).

    LLAMA_SERVER in the environment names another binary to measure against.
    """
    if other := os.environ.get("LLAMA_SERVER"):
        return Path(other)
    if SERVER.exists():
        return SERVER
    source = _sources(pinned_version())
    build_folder = SERVER.parent.parent
    print(f"building llama-server in {build_folder.relative_to(ROOT)}; this takes some minutes, once", flush=True)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    definitions = [f"-D{option}" for option in OPTIONS]
    log = WORK / "build.log"
    jobs = str(n_jobs or os.cpu_count() or 1)
    with log.open("wb") as out:
        for command in (
            ["cmake", "-S", str(source), "-B", str(build_folder), *generator, *definitions],
            ["cmake", "--build", str(build_folder), "--target", "llama-server", "llama-bench", "--parallel", jobs],
        ):
            if subprocess.run(command, stdout=out, stderr=out, check=False).returncode:
                raise SystemExit(f"llama-server cannot be built; the end of {log.relative_to(ROOT)} says why")
    return SERVER


def _sources(version: str) -> Path:
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
    pip = _pip()
    package = f"llama-cpp-python=={version}"
    wanted = ["--no-deps", "--no-binary", "llama-cpp-python", "--quiet", "--dest", str(WORK)]
    subprocess.run([*pip, "download", *wanted, package], check=True)
    return next(WORK.glob(f"llama_cpp_python-{version}*.tar.gz"))


def _pip() -> list[str]:
    """uv's environments have no pip; the one that holds uv does."""
    tools = ROOT / ".cache" / "tools" / "bin" / "python"
    return [str(tools if tools.exists() else sys.executable), "-m", "pip", "--disable-pip-version-check"]


if __name__ == "__main__":
    print(build(int(sys.argv[1]) if len(sys.argv) > 1 else None))
