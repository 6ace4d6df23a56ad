"""Which runner serves a request, decided over plain values: reuse one, load, evict, trim or wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.options import can_serve
from models.runner.settings import RunnerConfig
from server.placement import Devices, Need, place


@dataclass(frozen=True, slots=True)
class RunnerState:
    """A loaded runner as `plan` sees it. `key` is the weights file: names that share it share the runner."""

    key: str
    config: RunnerConfig
    n_leases: int
    keep_alive_ns: int
    is_leaving: bool
    """It takes no new requests and ends with its last one."""
    lacking_bytes: int = 0
    """What the adapters take that the request wants and it does not have."""
    has_idle_adapters: bool = False


@dataclass(frozen=True, slots=True)
class Reuse:
    key: str


@dataclass(frozen=True, slots=True)
class Load:
    n_gpu_layers: int


@dataclass(frozen=True, slots=True)
class Evict:
    """This runner must go: at once if it is idle, after its requests otherwise."""

    key: str


@dataclass(frozen=True, slots=True)
class Trim:
    """Memory is short: this runner gives up the adapters that nobody uses; then decide again."""

    key: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A runner is leaving; decide again when it is gone."""


Decision = Reuse | Load | Evict | Trim | Wait


def plan(
    key: str, config: RunnerConfig, need: Need, runners: Sequence[RunnerState], devices: Devices, *, max_runners: int
) -> Decision:
    """What to do for a request that wants the model `key`, loaded as `config` says.

    # Compat: http-api 7.4: room is made by the idle runner with the smallest keep-alive (ties: by path); when all are
    busy, that of the smallest is waited for.
    """
    same = next((r for r in runners if r.key == key), None)
    overweight = next((r for r in runners if r.has_idle_adapters), None)
    if same is not None and not same.is_leaving:
        if not can_serve(same.config, config):
            return Evict(key)
        fits = same.lacking_bytes <= devices.host_free_bytes
        return Reuse(key) if fits or overweight is None else Trim(overweight.key)
    if any(r.is_leaving for r in runners):
        return Wait()
    placement = place(need, devices, asked_layers=config.n_gpu_layers)
    if not runners or (len(runners) < max_runners and placement.fits):
        return Load(placement.n_gpu_layers)
    if len(runners) < max_runners and overweight is not None:
        return Trim(overweight.key)
    victim = min(runners, key=lambda r: (r.n_leases > 0, r.keep_alive_ns, r.key))
    return Evict(victim.key)
