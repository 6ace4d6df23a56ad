"""What a command takes from its surroundings: the server's address, the home folder, a few wishes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server.cli.proxy import is_local
from server.settings import Host, from_environment, text_editor
from server.version import VERSION


@dataclass(frozen=True, slots=True)
class Environment:
    """`home` holds `.ollama`; `editor` is the command for long prompts."""

    host: Host
    home: Path
    editor: str = "vi"
    keeps_history: bool = True
    version: str = VERSION

    @classmethod
    def read(cls) -> Environment:
        """That of this process."""
        settings = from_environment()
        return cls(settings.host, settings.home, text_editor(), not settings.no_history)

    @property
    def user_agent(self) -> str:
        return f"puna/{self.version} ({platform.machine()} {platform.system().lower()})"

    @property
    def proxies(self) -> Mapping[str, str]:
        """Scheme → proxy, and "no" → the exceptions; empty for a server on this machine, which needs none."""
        if is_local(self.host.host):
            return {}
        from urllib.request import getproxies_environment  # here: its imports cost more than most commands

        return getproxies_environment()
