"""User names and passwords for plain registries, from the file that Docker's client keeps."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.files import read_regular

log = logging.getLogger(__name__)

_MAX_CONFIG_BYTES = 1 << 20


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
    """What Docker's `config.json` has for exactly this host and port; None if it has nothing usable. Blocks."""
    try:
        content, _ = read_regular(config, _MAX_CONFIG_BYTES)
        found = json.loads(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("cannot read %s: %s", config, error)
        return None
    auths = found.get("auths") if isinstance(found, dict) else None
    entries = auths.items() if isinstance(auths, dict) else ()
    return next((_parse_entry(entry) for key, entry in entries if _host_of(key) == host.lower()), None)


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
    return Credentials(user, password) if isinstance(user, str) and user and isinstance(password, str) else None
