"""How many threads a model should compute with: physical cores this process may use, not more than its CPU quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

_TOPOLOGY = "devices/system/cpu/cpu{cpu}/topology/{name}"


def default_threads(sys_root: Path = Path("/sys")) -> int:
    """Physical cores among those this process may run on, at most the quota of its control group; at least 1.

    Hyper-threads share the units that matrix products need, and more threads than the quota allows stall in turns.
    """
    cores = count_physical_cores(allowed_cpus(), sys_root)
    quota = cpu_quota(sys_root / "fs" / "cgroup")
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def count_physical_cores(cpus: set[int], sys_root: Path) -> int:
    """CPUs that differ in package or core; all of them where the kernel does not tell."""
    return len({_core_of(cpu, sys_root) for cpu in cpus})


def _core_of(cpu: int, sys_root: Path) -> tuple[str, str]:
    try:
        package, core = (
            (sys_root / _TOPOLOGY.format(cpu=cpu, name=name)).read_text().strip()
            for name in ("physical_package_id", "core_id")
        )
    except OSError:
        return "cpu", str(cpu)
    return package, core


def cpu_quota(cgroup: Path) -> float | None:
    """CPUs' worth of time that the control group may use; None: no limit. Source: cgroup v2 cpu.max, v1 cfs."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return _cpu_quota_v1(cgroup / "cpu")
    return None if quota == "max" else int(quota) / int(period)


def _cpu_quota_v1(cgroup: Path) -> float | None:
    try:
        quota = int((cgroup / "cpu.cfs_quota_us").read_text())
        period = int((cgroup / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
