"""Where a model goes, as tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.devices import current_devices
from server.placement import Device, Devices, Need, Placement, automatic_context, place

GIB = 1024**3


def devices(*gpu_gib: float, host_gib: float = 16) -> Devices:
    gpus = tuple(Device(i, round(g * GIB), round(g * GIB)) for i, g in enumerate(gpu_gib))
    return Devices(round(host_gib * GIB), round(host_gib * GIB), gpus)


@pytest.mark.parametrize(
    ("machine", "n_ctx"),
    [
        (devices(), 4096),
        (devices(22.9), 4096),
        (devices(23), 32768),
        (devices(23.5, 23.5), 262144),
    ],
)
def test_the_automatic_context_grows_with_all_vram(machine: Devices, n_ctx: int) -> None:
    assert automatic_context(machine) == n_ctx


def test_overhead_is_taken_from_each_gpu() -> None:
    assert automatic_context(devices(23.5, 23.5), overhead_bytes=GIB) == 32768


@pytest.mark.parametrize(
    ("need", "machine", "asked", "placement"),
    [
        (Need(GIB, GIB, 10), devices(), -1, Placement(-1, 2 * GIB, fits=True)),
        (Need(17 * GIB, 0, 10), devices(), -1, Placement(-1, 17 * GIB, fits=False)),
        (Need(8 * GIB, 2 * GIB, 10), devices(24), -1, Placement(-1, 0, fits=True)),
        (Need(8 * GIB, 2 * GIB, 10), devices(5), -1, Placement(5, 5 * GIB, fits=True)),
        (Need(8 * GIB, 2 * GIB, 10), devices(24), 0, Placement(0, 10 * GIB, fits=True)),
        (Need(8 * GIB, 2 * GIB, 10), devices(24), 99, Placement(99, 0, fits=True)),
    ],
)
def test_place(need: Need, machine: Devices, asked: int, placement: Placement) -> None:
    assert place(need, machine, asked_layers=asked) == placement


def test_a_containers_limit_bounds_the_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert current_devices(tmp_path) == Devices(host_free_bytes=400_000, host_total_bytes=1_000_000)


def test_without_a_container_it_is_the_hosts_memory(tmp_path: Path) -> None:
    machine = current_devices(tmp_path)
    assert 0 < machine.host_free_bytes <= machine.host_total_bytes
