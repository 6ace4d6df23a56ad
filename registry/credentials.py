"""User names and passwords for plain registries, from the file that Docker's client keeps and the keepers it names."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.files import read_regular

log = logging.getLogger(__name__)

_MAX_CONFIG_BYTES = 1 << 20
_KEEPER_TIMEOUT_S = 10.0
_KEEPER = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_USER = "<token>"
"""In place of a name: the secret is no password but a token of another protocol, which is not spoken here."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one registry host is told when it asks."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(config: Path, host: str) -> Credentials | None:
    """What Docker's `config.json` has for exactly this host and port; None if it has nothing usable. Blocks.

    As with Docker, a keeper of its own for the host comes first, then the keeper for all, then the file itself.
    """
    try:
        content, _ = read_regular(config, _MAX_CONFIG_BYTES)
        found = json.loads(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("cannot read %s: %s", config, error)
        return None
    if not isinstance(found, dict):
        return None
    keeper = _entries(found.get("credHelpers")).get(host) or found.get("credsStore")
    return (_ask_keeper(keeper, host) if keeper else None) or _find_entry(_entries(found.get("auths")), host)


def _find_entry(auths: Mapping[str, Any], host: str) -> Credentials | None:
    return next((_parse_entry(entry) for key, entry in auths.items() if _host_of(key) == host.lower()), None)


def _ask_keeper(name: Any, host: str) -> Credentials | None:
    """Ask the program `docker-credential-<name>`, which keeps passwords out of files."""
    if not isinstance(name, str) or not _KEEPER.fullmatch(name):
        return None
    try:
        answer = subprocess.run(
            [f"docker-credential-{name}", "get"], input=host.encode(), capture_output=True, timeout=_KEEPER_TIMEOUT_S
        )
        found = json.loads(answer.stdout) if answer.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, RecursionError) as error:
        log.warning("docker-credential-%s: %s", name, error)
        return None
    entry = _entries(found)
    return _parse_entry({"username": entry.get("Username"), "password": entry.get("Secret")})


def _entries(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _host_of(key: str) -> str:
    """Keys are hosts, or old-style addresses: `https://host/v1/`."""
    return key.partition("://")[2].partition("/")[0].lower() if "://" in key else key.partition("/")[0].lower()


def _parse_entry(entry: Any) -> Credentials | None:
    if not isinstance(entry, Mapping):
        return None
    user, password = entry.get("username"), entry.get("password")
    encoded = entry.get("auth")
    if isinstance(encoded, str) and encoded:
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    if not isinstance(user, str) or not isinstance(password, str) or user in ("", _TOKEN_USER):
        return None
    return Credentials(user, password)
