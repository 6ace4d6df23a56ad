"""The server's log: one line of `key=value` pairs on standard error, as Ollama's.

# Compat: registry-store-cli 9 (logs); Go log/slog TextHandler. Supervisors wait for `Listening on`.
"""

from __future__ import annotations

import logging
import re
import time

from registry.gojson import quote
from server.settings import TRACE

_BARE = re.compile(r"[^\s=\"\\]+")
_NAMES = {TRACE: "TRACE", logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}


class LineFormatter(logging.Formatter):
    """`time=2026-08-21T12:00:00.000+02:00 level=INFO source=serving.py:80 msg="Listening on …"`."""

    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, record.levelname)
        line = (
            f"time={_time(record.created)} level={level} source={record.filename}:{record.lineno} "
            f"msg={_value(record.getMessage())}"
        )
        if record.exc_info:
            line += f" error={_value(str(record.exc_info[1]) or type(record.exc_info[1]).__name__)}"
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def configure(level: int) -> None:
    """Log to standard error from this level on; libraries only when they warn."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.addLevelName(TRACE, "TRACE")
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every write to a client that has just left
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # and of every request that is not HTTP
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(max(level, logging.WARNING))


def _time(seconds: float) -> str:
    moment = time.localtime(seconds)
    minutes = moment.tm_gmtoff // 60
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if minutes else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(seconds * 1000) % 1000:03d}{offset}"


def _value(text: str) -> str:
    return text if _BARE.fullmatch(text) and text.isprintable() else quote(text)
