"""What the machine has: the memory this process may use, and the GPUs."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from server.placement import Devices

CGROUP = Path("/sys/fs/cgroup")


def current_devices(cgroup: Path = CGROUP) -> Devices:
    """The memory that is free now, no more than a container's limit leaves.

    GPUs are not listed: the server runs no native code to ask them, and a runner takes as many layers as its backend
    can hold.
    """
    import psutil  # here: it takes 15 ms to import, and the server starts without it

    host = psutil.virtual_memory()
    total, free = host.total, host.available
    limit = _read_number(cgroup / "memory.max")
    if limit is not None and limit < total:
        used = (_read_number(cgroup / "memory.current") or 0) - _inactive_file(cgroup / "memory.stat")
        total, free = limit, max(0, min(free, limit - used))
    return Devices(host_free_bytes=free, host_total_bytes=total)


@functools.cache
def has_spare_cpus() -> bool:
    """Whether this process may use more CPUs than a model computes with: those have a physical core each."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return allowed > (psutil.cpu_count(logical=False) or 1)


def _read_number(path: Path) -> int | None:
    """The number in a file of the kernel's; None where there is no such file, or it says `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _inactive_file(path: Path) -> int:
    """Page cache of the container that the kernel gives back when memory is short."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
