"""What all transfers of a server have in common: connections, identity, running downloads."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from registry.auth import Authorizer, BearerToken, load_key
from registry.client import RegistryClient, Repository
from registry.credentials import find_credentials
from registry.downloads import Downloads
from registry.names import ModelName
from registry.pace import Pace
from registry.store import Store
from registry.throttle import Throttle
from registry.wire import Wire

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Registries:
    """The way to every registry, for one store. Belongs to one event loop; `close` when no transfer runs any more.

    While the processor `is_needed_elsewhere`, downloads take little of it. `home` is the user's directory: the key lies
    in its `.ollama`, the passwords of plain registries in its `.docker`.
    """

    def __init__(
        self,
        store: Store,
        home: Path,
        *,
        version: str,
        pace: Pace | None = None,
        stall_s: float = 30.0,
        is_needed_elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        self.pace = pace or Pace(hold_back=Throttle(is_needed_elsewhere).hold_back)
        self._wire = Wire(user_agent=user_agent(version), stall_s=stall_s)
        self._load_key = functools.partial(load_key, home / ".ollama")
        self._find_credentials = functools.partial(find_credentials, home / ".docker" / "config.json")
        self.downloads = Downloads(store, self.pace)

    def client(self, name: ModelName, *, insecure: bool) -> RegistryClient:
        """For one operation on one model: who we are is asked anew by each."""
        authorizer = Authorizer(self._wire, self._load_key, self._find_credentials)
        repository = Repository.of(name, insecure=insecure)
        return RegistryClient(self._wire, repository, authorizer, sleep=self.pace.sleep, clock=self.pace.clock)

    def file_client(self, endpoint: str, token: str | None) -> RegistryClient:
        """For files that no registry serves: only `endpoint` hears the token."""
        parts = urlsplit(endpoint)
        return RegistryClient(self._wire, Repository(parts.scheme, parts.netloc, ""), BearerToken(token))

    async def close(self) -> None:
        await self._wire.close()


def user_agent(version: str) -> str:
    """`version` is Ollama's: registries refuse clients that are too old for a model.

    # Compat: registry-store-cli 3.2.
    """
    machine = _MACHINES.get(platform.machine(), platform.machine())
    return f"ollama/{version} ({machine} {sys.platform}) puna"
