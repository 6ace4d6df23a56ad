"""The table of statuses covers every error of ours."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

import models.errors
import registry.errors
import server.errors
from server.errors import EXPECTED, OF_THE_ENGINE, STATUSES, find_status, status_of

ROOTS = (registry.errors.RegistryError, models.errors.ModelError, server.errors.ServerError)
ROOT = Path(__file__).parents[2]
NOT_IN_THE_SERVER = (
    *("models/engine", "models/llama", "models/sampling", "models/runner/worker.py", "server/cli"),
    "models/create/importance.py",  # told by the process that quantizes, in a text
)


def error_classes() -> list[type[Exception]]:
    """All classes below the roots, in whatever module of the server process they are."""
    found: set[type[Exception]] = set()
    for path in sorted(p for package in ("registry", "models", "server") for p in (ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(NOT_IN_THE_SERVER) or name.endswith("__main__.py") or "Error" not in path.read_text("utf-8"):
            continue
        module = importlib.import_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        found |= {
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, ROOTS) and kind not in ROOTS and kind.__module__ == module.__name__
        }
    return sorted(found, key=lambda kind: kind.__qualname__)


def test_every_error_class_has_a_row() -> None:
    classes = error_classes()
    assert len(classes) > 20
    assert [kind.__qualname__ for kind in classes if find_status(kind) is None] == []


def test_no_row_stands_for_a_whole_package() -> None:
    assert not set(STATUSES) & set(ROOTS)


def test_the_nearest_class_decides() -> None:
    class Special(models.errors.WeightsMissing):
        pass

    assert find_status(Special) == 404
    assert find_status(models.errors.BlobMissing) == 500


def test_what_is_in_no_row_is_our_fault() -> None:
    assert status_of(ZeroDivisionError()) == 500


@pytest.mark.parametrize("kind", STATUSES)
def test_every_row_is_an_expected_error(kind: type[Exception]) -> None:
    assert issubclass(kind, EXPECTED)


def test_errors_of_the_engine_have_rows() -> None:
    assert all(find_status(kind) for kind in OF_THE_ENGINE)
