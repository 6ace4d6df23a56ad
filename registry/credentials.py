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
"""In place of a name, also an empty one: the secret is an identity token."""

DOCKER_HUB = "registry-1.docker.io"
DOCKER_HUB_NAMES = frozenset(("docker.io", "index.docker.io", DOCKER_HUB))
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What Docker's client files its login under, whichever of the names is used."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one registry host is told when it asks; with an `identity_token`, which buys others, no password is."""

    user: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(config: Path, host: str) -> Credentials | None:
    """What Docker's `config.json` has for exactly this host and port; None if it has nothing usable. Blocks.

    As with Docker, a keeper of its own for the host comes first, then the keeper for all, then the file itself; Docker
    Hub's login lies under one address, whichever of its names is asked for.
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
    keepers, auths = _entries(found.get("credHelpers")), _entries(found.get("auths"))
    names = DOCKER_HUB_NAMES if host.lower() in DOCKER_HUB_NAMES else frozenset((host.lower(),))
    keeper = next((keeper for key, keeper in keepers.items() if _host_of(key) in names), found.get("credsStore"))
    address = _DOCKER_HUB_KEY if names is DOCKER_HUB_NAMES else host
    return (_ask_keeper(keeper, address) if keeper else None) or _find_entry(auths, names)


def _find_entry(auths: Mapping[str, Any], names: frozenset[str]) -> Credentials | None:
    return next((_parse_entry(entry) for key, entry in auths.items() if _host_of(key) in names), None)


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
    user, password, token = (entry.get(name) for name in ("username", "password", "identitytoken"))
    encoded = entry.get("auth")
    if isinstance(encoded, str) and encoded:
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    if user == _TOKEN_USER:
        user, password, token = "", "", password
    if isinstance(token, str) and token:
        return Credentials(user if isinstance(user, str) else "", identity_token=token)
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        return None
    return Credentials(user, password)
