"""tools/setup.sh: what a machine lacks is named, and nothing touched; what the compiler is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SHELL_TOOLS = ("sh", "cat", "cut", "dirname", "echo", "pwd", "sha256sum", "uname")
MACHINE = ("python3", "c++", "cmake", "make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    for name in ("pyproject.toml", "uv.lock", "tools/setup.sh"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("models/llama/kernels/kernels.cmake", "models/sampling/passes.c"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(f"{name}\n")
    return folder


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def machine(tmp_path: Path, *, without: tuple[str, ...] = (), python: str = "3.12", has_venv: bool = True) -> Path:
    """A folder for PATH: the shell's tools, and stand-ins that can be found but never run, except python3."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in SHELL_TOOLS:
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    for name in set(MACHINE) - set(without) - {"python3"}:
        executable(programs / name, "exit 99")
    if "python3" not in without:
        minor = int(python.partition(".")[2])
        executable(
            programs / "python3",
            f"""case "$*" in
            *"version_info < "*) exit {int(minor < 11)} ;;
            *ensurepip*) exit {int(not has_venv)} ;;
            *"print("*) echo python{python}-venv ;;
            --version) echo Python {python}.1 ;;
            *) exit 99 ;;
            esac""",
        )
    return programs


def set_up(checkout: Path, programs: Path, *arguments: str) -> tuple[int, str]:
    command = [str(checkout / "tools" / "setup.sh"), *arguments]
    done = subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("without", "packages"),
    [
        (("c++",), " g++"),
        (("cmake",), " cmake"),
        (("make",), " make"),
        (("python3",), " python3.11 python3.11-venv"),
        (("c++", "cmake", "make"), " g++ cmake make"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, checkout: Path, without: tuple[str, ...], packages: str) -> None:
    status, text = set_up(checkout, machine(tmp_path, without=without))
    assert status == 1
    assert f"sudo apt-get install{packages}\n" in text
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_names_its_own_package(tmp_path: Path, checkout: Path) -> None:
    status, text = set_up(checkout, machine(tmp_path, python="3.13", has_venv=False))
    assert (status, "sudo apt-get install python3.13-venv\n" in text) == (1, True)


def test_an_old_python_is_refused_by_its_version(tmp_path: Path, checkout: Path) -> None:
    status, text = set_up(checkout, machine(tmp_path, python="3.10"))
    assert status == 1
    assert "Python 3.11 or newer is needed; found: Python 3.10.1" in text


def test_cuda_needs_its_compiler(tmp_path: Path, checkout: Path) -> None:
    status, text = set_up(checkout, machine(tmp_path), "cuda")
    assert (status, "nvidia-cuda-toolkit" in text) == (1, True)


def test_an_unknown_backend_is_refused(tmp_path: Path, checkout: Path) -> None:
    status, text = set_up(checkout, machine(tmp_path), "quantum")
    assert status == 2
    assert "cpu, cuda, vulkan, metal or rocm" in text


PREFETCHING = "-fprefetch-loop-arrays"


def ready_machine(tmp_path: Path, checkout: Path, *, architecture: str = "x86_64", has_gcc: bool = True) -> Path:
    """A machine that lacks nothing; its uv installs nothing, and leaves what it was asked for in `asked`."""
    programs = machine(tmp_path)
    for name in ("cp", "getconf", "mkdir", "mv", "rm"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "uname").unlink()
    executable(programs / "uname", f'[ "$*" = -m ] && echo {architecture} || echo Linux')
    for name in ("cc", "c++"):
        executable(programs / name, f"exit {int(not has_gcc)}")
    executable(programs / "nvcc", "exit 99")
    version = re.findall("^UV_VERSION=(.*)$", (checkout / "tools" / "setup.sh").read_text(), re.MULTILINE)[0]
    (checkout / ".cache" / "tools" / "bin").mkdir(parents=True)
    uv = """[ "$1" = --version ] && echo uv VERSION && exit
        mkdir -p .venv
        for one; do echo "$one"; done >>asked"""
    executable(checkout / ".cache" / "tools" / "bin" / "uv", uv.replace("VERSION", version))
    return programs


def what_uv_was_asked(checkout: Path) -> list[str]:
    asked = checkout / "asked"
    lines = asked.read_text().splitlines()
    asked.unlink()
    return lines


@pytest.mark.parametrize(
    ("architecture", "has_gcc", "prefetches"),
    [("x86_64", True, True), ("x86_64", False, False), ("aarch64", True, False)],
)
def test_gcc_prefetches_on_x86(
    tmp_path: Path, checkout: Path, architecture: str, has_gcc: bool, prefetches: bool
) -> None:
    status, text = set_up(checkout, ready_machine(tmp_path, checkout, architecture=architecture, has_gcc=has_gcc))
    assert status == 0, text
    settings = what_uv_was_asked(checkout)
    for language in ("C", "CXX"):
        (flags,) = [line for line in settings if f"-DCMAKE_{language}_FLAGS=" in line]
        assert (PREFETCHING in flags) is prefetches
    _, c_flags, cxx_flags = (checkout / ".venv" / "puna-build").read_text().splitlines()
    assert c_flags == cxx_flags and (PREFETCHING in c_flags) is prefetches


def test_the_backend_is_kept_and_another_one_is_compiled_anew(tmp_path: Path, checkout: Path) -> None:
    programs = ready_machine(tmp_path, checkout)
    cuda = "llama-cpp-python:cmake.args=-DGGML_CUDA=ON"
    steps: list[tuple[tuple[str, ...], bool, bool]] = [((), False, False), (("cuda",), True, True), ((), False, True)]
    for arguments, is_removed, has_cuda in steps:
        (checkout / ".venv" / "puna-setup").unlink(missing_ok=True)
        status, text = set_up(checkout, programs, *arguments)
        assert status == 0, text
        asked = what_uv_was_asked(checkout)
        assert ("uninstall" in asked) is is_removed
        assert (cuda in asked) is has_cuda


def test_the_kernels_are_compiled_from_a_copy_named_by_what_is_in_it(tmp_path: Path, checkout: Path) -> None:
    """uv keeps what it compiled by the options alone: from changed kernels it must be asked for another thing."""
    programs = ready_machine(tmp_path, checkout)
    option = "llama-cpp-python:cmake.args=-DCMAKE_PROJECT_ggml_INCLUDE="
    asked = []
    for text in ("first\n", "second\n"):
        (checkout / "models" / "sampling" / "passes.c").write_text(text)
        status, error = set_up(checkout, programs)
        assert status == 0, error
        (hook,) = [Path(line.removeprefix(option)) for line in what_uv_was_asked(checkout) if line.startswith(option)]
        assert hook.read_text() == "models/llama/kernels/kernels.cmake\n"
        assert (hook.parent / "passes.c").read_text() == text
        asked.append(hook)
    assert asked[0] != asked[1]
