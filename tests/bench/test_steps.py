"""The tables of llama.cpp's own part: every figure is measured, with small models and few repeats."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from bench import random_model, steps
from bench.random_model import TINY_8B

TINY_EMBED = replace(TINY_8B, name="tiny-embed", pooling=gguf.PoolingType.MEAN)
FIGURE = r"[\d.]+(?:e[+-]\d+)?"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder where models are made."""
    monkeypatch.setattr(steps, "WORK", tmp_path)
    monkeypatch.setitem(random_model.SHAPES, TINY_EMBED.name, TINY_EMBED)
    return tmp_path / "models"


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


@pytest.mark.model
def test_steps_of_a_library_stand_beside_those_of_another(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other one is the installed one once more."""
    package = importlib.util.find_spec("llama_cpp")
    assert package is not None and package.origin is not None
    libraries = str(Path(package.origin).parent / "lib")
    steps.main(["flags", "--quick", "tiny-8b.Q4_K_M", "tiny-8b.F16", "--against", libraries])
    head, _, *rows = cells(capsys.readouterr().out)
    assert head == ["sequences", "tiny-8b.Q4_K_M", "tiny-8b.F16"]
    assert [row[0] for row in rows] == [str(n) for n in steps.QUICK.sequences]
    assert all(re.fullmatch(f"{FIGURE} · {FIGURE}", cell) for row in rows for cell in row[1:])


@pytest.mark.model
def test_every_choice_of_the_engine_has_its_figures(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps.main(["choices", "--quick", "tiny-8b.Q4_K_M", "tiny-embed.Q4_K_M"])
    _, _, *rows = cells(capsys.readouterr().out)
    pair, one_each = f"{FIGURE} ms; {FIGURE} ms", f"{FIGURE} · {FIGURE}"
    wanted = [*[pair] * 4, f"{one_each} s", f"{one_each} ms", f"{one_each} ms", pair, f"{one_each} s"]
    assert len(rows) == len(wanted)
    for (_, figures), pattern in zip(rows, wanted, strict=True):
        assert re.fullmatch(pattern, figures)


def test_another_build_is_loaded_where_it_is_named(models: Path, tmp_path: Path) -> None:
    """A folder without libraries: nothing else is loaded instead of them."""
    with pytest.raises(subprocess.CalledProcessError):
        steps.Run(is_quick=True, on_gpu=False).measure("decoding", steps.find_model("tiny-8b.Q4_K_M"), tmp_path)


def test_what_is_no_model_is_refused(models: Path) -> None:
    with pytest.raises(SystemExit, match="neither a file nor a shape"):
        steps.find_model("smol-135m.Q3_K")


@pytest.mark.parametrize("arguments", [["a", "b", "c"], ["--against", "folder"]])
def test_choices_are_not_compared(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        steps.main(["choices", *arguments])
    assert "measured" in capsys.readouterr().err
