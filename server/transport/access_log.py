"""One line for each request, on standard output, in the form that tools around Ollama read.

# Compat: registry-store-cli 9 (logs); gin 1.10 defaultLogFormatter.
"""

from __future__ import annotations

import sys
import time

from registry.gojson import quote
from server.durations import MINUTE, SECOND, format_duration
from server.transport.asgi import Scope


def write_line(scope: Scope, status: int, took_ns: int) -> None:
    """Write and flush; a closed standard output is not an error of the request."""
    try:
        sys.stdout.write(format_line(scope, status, took_ns, time.localtime()))
        sys.stdout.flush()
    except (OSError, ValueError):
        pass


def format_line(scope: Scope, status: int, took_ns: int, now: time.struct_time) -> str:
    """`[GIN] 2026/08/21 - 12:00:00 | 200 |       1.2ms |       127.0.0.1 | GET      "/api/tags"`."""
    if took_ns > MINUTE:
        took_ns -= took_ns % SECOND
    client = scope["client"][0] if scope.get("client") else ""
    path = scope["path"]
    if scope["query_string"]:
        path = f"{path}?{scope['query_string'].decode('latin-1')}"
    return (
        f"[GIN] {time.strftime('%Y/%m/%d - %H:%M:%S', now)} | {status:3d} | {format_duration(took_ns):>13} "
        f"| {client:>15} | {scope['method']:<7}  {_quote(path)}\n"
    )


def _quote(path: str) -> str:
    """In double quotes, on one line whatever the path holds."""
    if path.isprintable() and '"' not in path and "\\" not in path:
        return f'"{path}"'
    return quote(path)
