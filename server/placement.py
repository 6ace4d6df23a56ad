"""Where a model's layers go, and whether it fits: pure decisions over what is known of the devices."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, as far as placement cares. Sizes in bytes."""

    index: int
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that a model's caches may lie in, in bytes."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Devices:
    """What models can be loaded into: the host's memory and the GPUs."""

    host_free_bytes: int
    host_total_bytes: int = 0
    gpus: tuple[Device, ...] = ()

    @property
    def n_gpus(self) -> int:
        return len(self.gpus)

    @property
    def vram_bytes(self) -> int:
        return sum(gpu.total_bytes for gpu in self.gpus)

    def room(self, asked_layers: int) -> Room:
        """That of a model with so many layers on GPUs (-1: all that fit)."""
        if self.gpus and asked_layers:
            return Room(self.vram_bytes, sum(gpu.free_bytes for gpu in self.gpus))
        return Room(self.host_total_bytes or self.host_free_bytes, self.host_free_bytes)


@dataclass(frozen=True, slots=True)
class Need:
    """What a model takes, estimated before it is loaded. Sizes in bytes."""

    weights_bytes: int
    cache_bytes: int
    n_layers: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes


@dataclass(frozen=True, slots=True)
class Placement:
    """Layers on the GPU (-1: all), and the host memory that the rest takes."""

    n_gpu_layers: int
    host_bytes: int
    fits: bool = field(default=True)


GIB = 1024**3
CONTEXT_BY_VRAM = ((47 * GIB, 262_144), (23 * GIB, 32_768), (0, 4_096))
"""Compat: http-api 5: the automatic context, by the memory of all GPUs together."""


def automatic_context(devices: Devices, *, overhead_bytes: int = 0) -> int:
    """Context of one sequence when nobody asked for one; `overhead_bytes` is reserved on each GPU."""
    vram = sum(max(gpu.total_bytes - overhead_bytes, 0) for gpu in devices.gpus)
    return next(n_ctx for at_least, n_ctx in CONTEXT_BY_VRAM if vram >= at_least)


def place(need: Need, devices: Devices, *, asked_layers: int) -> Placement:
    """Layers per device: what was asked for, else all that the GPUs' free memory holds, the rest on the host."""
    n_gpu = asked_layers if asked_layers >= 0 else _layers_that_fit(need, devices)
    on_gpu = 1.0 if n_gpu < 0 else min(n_gpu / need.n_layers, 1.0) if need.n_layers else 0.0
    host = need.total_bytes if not devices.gpus else round(need.total_bytes * (1.0 - on_gpu))
    return Placement(n_gpu, host, fits=host <= devices.host_free_bytes)


def _layers_that_fit(need: Need, devices: Devices) -> int:
    if not devices.gpus:
        return -1  # the backend knows of none, or of one that we do not: let it take what it can
    free = sum(gpu.free_bytes for gpu in devices.gpus)
    if need.total_bytes <= free or not need.n_layers:
        return -1
    return max(0, int(need.n_layers * free / need.total_bytes))
