"""How many threads a model should compute with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.llama.threads import count_physical_cores, cpu_quota, default_threads


def topology(root: Path, cores: list[tuple[int, int]]) -> None:
    """One CPU for each (package, core)."""
    for cpu, (package, core) in enumerate(cores):
        folder = root / f"devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{package}\n")
        (folder / "core_id").write_text(f"{core}\n")


def test_hyper_threads_count_once(tmp_path: Path) -> None:
    topology(tmp_path, [(0, 0), (0, 1), (0, 0), (0, 1), (1, 0), (1, 0)])
    assert count_physical_cores({0, 1, 2, 3, 4, 5}, tmp_path) == 3
    assert count_physical_cores({0, 2}, tmp_path) == 1


def test_without_a_topology_every_cpu_counts(tmp_path: Path) -> None:
    assert count_physical_cores({0, 1, 5}, tmp_path) == 3


@pytest.mark.parametrize(("text", "quota"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("nonsense", None)])
def test_the_quota_of_control_groups_v2(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(("text", "quota"), [("-1", None), ("50000", 0.5)])
def test_the_quota_of_control_groups_v1(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(text)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(("quota", "threads"), [("max 100000", 4), ("150000 100000", 2), ("10000 100000", 1)])
def test_the_quota_limits_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, threads: int
) -> None:
    topology(tmp_path, [(0, core) for core in range(4)])
    (tmp_path / "fs/cgroup").mkdir(parents=True)
    (tmp_path / "fs/cgroup/cpu.max").write_text(quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert default_threads(tmp_path) == threads


def test_affinity_limits_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topology(tmp_path, [(0, core) for core in range(4)])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2}, raising=False)
    assert default_threads(tmp_path) == 2
