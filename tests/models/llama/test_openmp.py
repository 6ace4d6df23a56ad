"""What a runner tells OpenMP before it loads it."""

from __future__ import annotations

import os

import pytest

from models.llama.openmp import SPIN_COUNT, bound_spinning


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


def test_threads_spin_for_a_few_microseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    bound_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == str(SPIN_COUNT)


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")])
def test_who_sets_it_otherwise_has_a_reason(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    bound_spinning()
    assert {n: v for n, v in os.environ.items() if n in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} == {name: value}
