"""What runs where: tests that need a GPU are left out where there is none, and not reported as skipped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.machine import Native
from tests import conftest


class Item:
    def __init__(self, *markers: str) -> None:
        self._markers = markers

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self._markers else None


@pytest.mark.parametrize("has_gpu", [False, True])
def test_what_needs_a_gpu_is_left_out_where_there_is_none(monkeypatch: pytest.MonkeyPatch, has_gpu: bool) -> None:
    monkeypatch.setattr(conftest, "ask_native", lambda: Native(has_gpu, ""))
    left_out: list[Item] = []
    config: Any = SimpleNamespace(hook=SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items)))
    plain, on_gpu = Item("model"), Item("model", "gpu")
    items: Any = [plain, on_gpu]
    conftest.pytest_collection_modifyitems(config, items)
    assert (items, left_out) == (([plain, on_gpu], []) if has_gpu else ([plain], [on_gpu]))


def test_llama_cpp_is_not_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(conftest, "ask_native")
    items: Any = [Item(), Item("model")]
    config: Any = None
    conftest.pytest_collection_modifyitems(config, items)
    assert len(items) == 2


@pytest.mark.parametrize(("asked", "n_items", "says"), [("gpu", 0, True), ("gpu", 3, False), ("", 3, False)])
def test_it_is_said_when_only_those_were_asked_for(asked: str, n_items: int, says: bool) -> None:
    config: Any = SimpleNamespace(getoption=lambda name: asked)
    items: Any = [Item("gpu")] * n_items
    assert ("no GPU" in conftest.pytest_report_collectionfinish(config, items)) is says
