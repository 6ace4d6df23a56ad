"""Where a model runs that is only a stub here."""

from __future__ import annotations

import posixpath
from typing import Final
from urllib.parse import urlsplit

from models.errors import CreateRefused

CLOUD_URL: Final = "https://ollama.com:443"
DEFAULT_PORT: Final = "11434"


def remote_url(text: str) -> str:
    """The URL of a remote host in full form. Raises: CreateRefused.

    # Compat: registry-store-cli 6.2: the default port is 11434 with any scheme, but for ollama.com itself.
    """
    if text.startswith("/"):
        return f"http://localhost:{DEFAULT_PORT}{_clean(text)}"
    if "://" not in text:
        text = f"http://{text}"
    if text == "http://ollama.com":
        return CLOUD_URL
    try:
        parts = urlsplit(text)
        host, port = parts.netloc.rpartition("@")[2], parts.port
    except ValueError as error:
        raise CreateRefused("bad remote") from error
    if not host:
        host = "localhost"
    elif port is not None or host.endswith(":"):
        host = host.removesuffix(f":{host.rpartition(':')[2]}")
    port_text = parts.netloc.rpartition(":")[2] if port is not None else DEFAULT_PORT
    path = _clean(parts.path) if parts.path else ""
    return f"{parts.scheme}://{host}:{port_text}{path if path != '/' else ''}"


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
