"""What is carried to a machine without a network, and what is made of it there; nothing is compiled here."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from bench import offline, peer
from bench.machine import ROOT, Compilation, installed
from bench.peer import Flags


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("llama_cpp/llama_cpp.py", True),
        ("docs/index.md", False),
        ("PKG-INFO", False),
        ("vendor/llama.cpp/CMakeLists.txt", True),
        ("vendor/llama.cpp/convert_hf_to_gguf.py", False),
        ("vendor/llama.cpp/gguf-py/gguf/constants.py", False),
        ("vendor/llama.cpp/models/ggml-vocab-bert-bge.gguf", False),
        ("vendor/llama.cpp/src/models/llama.cpp", True),
        ("vendor/llama.cpp/tools/server/server.cpp", True),
        ("vendor/llama.cpp/ggml/src/ggml.c", True),
        ("vendor/llama.cpp/ggml/src/ggml-backend.cpp", True),
        ("vendor/llama.cpp/ggml/src/ggml-cuda/mmq.cu", True),
        ("vendor/llama.cpp/ggml/src/ggml-cuda/template-instances/mmq.cu", True),
        ("vendor/llama.cpp/ggml/src/ggml-cpu/arch/x86/quants.c", True),
        ("vendor/llama.cpp/ggml/src/ggml-metal/ggml-metal.m", False),
        ("vendor/llama.cpp/ggml/include/ggml-metal.h", True),
    ],
)
def test_what_is_compiled_or_imported_is_carried(name: str, needed: bool) -> None:
    assert offline.is_needed(PurePosixPath(name)) is needed


def test_packages_that_are_compiled_there_or_are_there_are_not_carried() -> None:
    lines = [
        "# made by a tool", "numpy==2.4.6 ; python_full_version >= '3.11'", "    # via gguf",
        "llama-cpp-python==0.3.36", "mypy==2.1", "mypy-extensions==1.1.0", "", "pillow==13.0.0",
    ]  # fmt: skip
    assert offline.carried(lines, without=["pillow"]) == [lines[1], lines[5]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Carried sources of a llama-cpp-python that has next to nothing."""
    package = tmp_path / "package"
    for name in ("llama_cpp/llama_cpp.py", "vendor/llama.cpp/CMakeLists.txt", "vendor/llama.cpp/tests/test.cpp"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("VALUE = 1\n")
    folder = tmp_path / "carried"
    folder.mkdir()
    offline.archive_sources(package, folder / offline.ARCHIVE)
    return folder


def test_the_archive_holds_what_is_needed(folder: Path) -> None:
    with tarfile.open(folder / offline.ARCHIVE) as tar:
        assert tar.getnames() == ["llama_cpp/llama_cpp.py", "vendor/llama.cpp/CMakeLists.txt"]


def test_what_was_compiled_is_found_by_python_and_by_the_benchmark(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler is made up; a second run goes on with what the first one left."""
    work, site, programs = tmp_path / "work", tmp_path / "site", tmp_path / "bin"
    site.mkdir()
    programs.mkdir()
    server = work / "llama.cpp-build-cuda" / "bin" / "llama-server"
    cache = server.parent.parent / "CMakeCache.txt"
    script = f"""#!/bin/sh
if [ "$1" = --build ]; then echo >{server}; exit; fi
[ -e "$2/CMakeLists.txt" ] || exit 1
mkdir -p {server.parent}
for one; do case $one in -D*) echo "${{one#-D}}" | sed "s/=/:STRING=/"; esac; done >{cache}
"""
    (programs / "cmake").write_text(script)
    (programs / "cmake").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    noted = tmp_path / "puna-build"
    for _ in range(2):
        offline.build(
            folder,
            "cuda",
            ["-DCMAKE_CUDA_ARCHITECTURES=90", "-DCUDAToolkit_ROOT=/opt/cuda"],
            work=work,
            built=noted,
            site=site,
        )

    compilation = installed(noted)
    assert isinstance(compilation, Compilation) and compilation.backend == "cuda"
    assert compilation.options["CMAKE_CUDA_ARCHITECTURES"] == "90" and compilation.options["GGML_CUDA"] == "ON"
    assert "CUDAToolkit_ROOT:STRING=/opt/cuda\n" in cache.read_text()
    wanted = peer.choose(Flags.OWN, compilation, on_gpu=True, work=work)
    assert wanted.server == server and wanted.is_there, "the benchmark compiles no second one"
    assert (site / "llama_cpp" / "lib" / "llama-server").exists()
    code = f"import site; site.addsitedir({str(site)!r}); import llama_cpp.llama_cpp, server, sys; print(sys.path[-1])"
    found = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(ROOT)


@pytest.mark.parametrize(
    ("arguments", "unknown"), [("pack folder --pythn 3.12", "--pythn 3.12"), ("build folder cuda -G Ninja", "-G Ninja")]
)
def test_what_neither_command_knows_is_refused(
    arguments: str, unknown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        offline.main(arguments.split())
    assert f"not understood: {unknown}" in capsys.readouterr().err
