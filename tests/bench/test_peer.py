"""How the peer is compiled; no compiler runs here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import peer
from bench.machine import ROOT, Compilation, installed
from bench.peer import OPTIONS, Flags, PeerBuild, choose

CPU = Compilation("cpu", {"BUILD_SHARED_LIBS": "ON", "GGML_NATIVE": "OFF"}, "-O2 -funroll-loops", "-O2")
CUDA = Compilation("cuda", {"GGML_CUDA": "ON", "CMAKE_CUDA_ARCHITECTURES": "90", "GGML_LTO": "ON"}, "-O2", "-O2")
FLAGS = {"CMAKE_C_FLAGS": "-O2", "CMAKE_CXX_FLAGS": "-O2"}
ON_GPU = {"GGML_CUDA": "ON", "CMAKE_CUDA_ARCHITECTURES": "90"}


@pytest.mark.parametrize(
    ("flags", "puna", "on_gpu", "folder", "more"),
    [
        (Flags.OWN, CPU, False, "llama.cpp-build", {}),
        (Flags.OWN, None, False, "llama.cpp-build", {}),
        (
            Flags.SAME, CPU, False, "llama.cpp-build-same",
            {"GGML_NATIVE": "OFF", "CMAKE_C_FLAGS": "-O2 -funroll-loops", "CMAKE_CXX_FLAGS": "-O2"},
        ),
        (Flags.OWN, CUDA, False, "llama.cpp-build", {}),
        (Flags.OWN, CUDA, True, "llama.cpp-build-cuda", ON_GPU),
        (Flags.SAME, CUDA, True, "llama.cpp-build-cuda-same", ON_GPU | {"GGML_LTO": "ON"} | FLAGS),
        (Flags.SAME, CUDA, False, "llama.cpp-build-cuda-same", ON_GPU | {"GGML_LTO": "ON"} | FLAGS),
    ],
)  # fmt: skip
def test_a_peer_is_compiled_for_what_it_is_measured_for(
    tmp_path: Path, flags: Flags, puna: Compilation | None, on_gpu: bool, folder: str, more: dict[str, str]
) -> None:
    chosen = choose(flags, puna, on_gpu=on_gpu, work=tmp_path)
    assert chosen.folder == tmp_path / folder
    assert chosen.options == OPTIONS | more


@pytest.mark.parametrize(("flags", "on_gpu"), [(Flags.SAME, False), (Flags.OWN, True)])
def test_what_is_not_known_is_not_guessed(flags: Flags, on_gpu: bool) -> None:
    with pytest.raises(SystemExit, match="make setup"):
        choose(flags, None, on_gpu=on_gpu)


def configured(folder: Path, **options: str) -> PeerBuild:
    """A build folder as CMake leaves it, its server included."""
    wanted = PeerBuild(folder, {"CMAKE_C_FLAGS": "-O2 --param=x=1", "GGML_CUDA": "ON"})
    lines = ["# a comment", "//another", *(f"{name}:STRING={value}" for name, value in options.items())]
    wanted.server.parent.mkdir(parents=True)
    (folder / "CMakeCache.txt").write_text("\n".join(lines))
    wanted.server.write_bytes(b"")
    return wanted


def test_what_was_built_with_other_options_is_not_there(tmp_path: Path) -> None:
    same = configured(tmp_path / "same", CMAKE_C_FLAGS="-O2 --param=x=1", GGML_CUDA="ON", GGML_LTO="OFF")
    assert same.is_there
    assert not configured(tmp_path / "other", CMAKE_C_FLAGS="-O2", GGML_CUDA="ON").is_there
    same.server.unlink()
    assert not same.is_there


def fake_cmake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Notes how it was called."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    (programs / "cmake").write_text(f'#!/bin/sh\necho "$*" >>{calls}\n{script}\n')
    (programs / "cmake").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return calls


def test_it_is_configured_and_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = PeerBuild(tmp_path / "build", {"GGML_CUDA": "ON"})
    wanted.server.parent.mkdir(parents=True)
    noted = f"echo GGML_CUDA:BOOL=ON >{wanted.folder}/CMakeCache.txt"
    calls = fake_cmake(tmp_path, monkeypatch, f'[ "$1" = --build ] && echo >{wanted.server} || {noted}')
    peer.build(wanted, tmp_path / "source", n_jobs=3)
    configure, compile = calls.read_text().splitlines()
    assert configure.startswith(f"-S {tmp_path}/source -B {wanted.folder} ") and configure.endswith("-DGGML_CUDA=ON")
    assert compile == f"--build {wanted.folder} --target llama-server llama-bench --parallel 3"
    assert wanted.is_there


def test_an_older_server_does_not_stand_in_for_one_that_cannot_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = configured(tmp_path / "build", CMAKE_C_FLAGS="-O1", GGML_CUDA="ON")
    cache = wanted.folder / "CMakeCache.txt"
    fake_cmake(tmp_path, monkeypatch, f'echo "CMAKE_C_FLAGS:STRING=-O2 --param=x=1" >>{cache}; exit 1')
    with pytest.raises(SystemExit, match=r"build\.log"):
        peer.build(wanted, tmp_path / "source", n_jobs=1)
    assert not wanted.is_there


def test_the_environment_may_name_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_SERVER", str(tmp_path / "bin" / "llama-server"))
    found = peer.find_or_build(None, on_gpu=True)
    assert found == tmp_path / "bin" / "llama-server"
    assert peer.describe(found) == {"server": str(found), "options": {}, "system_info": ""}


@pytest.mark.parametrize("flags", Flags)
def test_flags_for_a_peer_that_is_compiled_already_are_refused(monkeypatch: pytest.MonkeyPatch, flags: Flags) -> None:
    monkeypatch.setenv("LLAMA_SERVER", "bin/llama-server")
    with pytest.raises(SystemExit, match=r"LLAMA_SERVER .* --peer-flags would have no effect"):
        peer.find_or_build(flags, on_gpu=False)


def test_what_tells_how_a_server_was_built_is_kept(tmp_path: Path) -> None:
    wanted = configured(tmp_path, CMAKE_C_FLAGS="-O2", GGML_CUDA="ON", CMAKE_CUDA_ARCHITECTURES="90", GGML_SYCL="OFF")
    kept = {"CMAKE_C_FLAGS": "-O2", "GGML_CUDA": "ON", "CMAKE_CUDA_ARCHITECTURES": "90"}
    assert peer.describe(wanted.server)["options"] == kept


def test_the_set_up_notes_how_it_compiled(tmp_path: Path) -> None:
    """As tools/setup.sh writes it, and as it was written before flags were noted."""
    build = tmp_path / "puna-build"
    build.write_text("cuda -DGGML_CUDA=ON -DCMAKE_INSTALL_RPATH=$ORIGIN -O2 -g -O2\n-O2 -g\n-O2\n")
    options = {"GGML_CUDA": "ON", "CMAKE_INSTALL_RPATH": "$ORIGIN"}
    assert installed(build) == Compilation("cuda", options, "-O2 -g", "-O2")
    build.write_text("cpu -DGGML_CUDA=ON -O2 -O2\n")
    assert installed(build) is None
    assert installed(tmp_path / "nothing") is None


def test_what_llama_cpp_says_of_itself_is_asked_in_another_process() -> None:
    """To load it sets GOMP_SPINCOUNT, which the peer must not inherit."""
    code = (
        "import os; from bench import machine as m; print(m.ask_native().system_info, 'GOMP_SPINCOUNT' in os.environ)"
    )
    command = [sys.executable, "-c", code]
    env = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert said[1] == ":" and said[-1] == "False"
