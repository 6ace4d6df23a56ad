"""A Hub, and a machine that pulls from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from registry.hub.source import HubSettings
from tests.fakes.hub import FakeHub
from tests.server.hub.machine import Machine


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


@pytest.fixture
async def machine(hub: FakeHub, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, HubSettings(hub.endpoint, cache=tmp_path / "cache", has_registry=False))
    yield machine
    await machine.registries.close()
