"""What llama.cpp writes to its log: passed on to `logging`, the last errors kept, buffer sizes counted.

The library says why a load failed, and how large its buffers became, nowhere else.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from models.errors import LoadError, OutOfMemory
from models.llama.binding import lib

log = logging.getLogger(__name__)

# Source: ggml.h, ggml_log_level
_LEVELS = {2: logging.DEBUG, 3: logging.INFO, 4: logging.ERROR}
_CONTINUED = 5
_DETAIL = 1
"""Not looked at: a context that plans its decodes anew writes 15 such lines a layer, a third of the time it takes."""
_BUFFER = re.compile(r"^\S+:\s+(\S+)\s+.*buffer size =\s+([\d.]+) MiB")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|failed to allocate|unable to allocate|cannot allocate|insufficient memory", re.I
)


@dataclass(slots=True)
class Buffers:
    """Bytes that llama.cpp allocated or mapped, on the host and on devices."""

    host_bytes: int = 0
    device_bytes: int = 0


class NativeLog:
    """Receives every line but details; one per process, since llama.cpp has one log."""

    def __init__(self) -> None:
        self.buffers = Buffers()
        self.on_line: Callable[[str], None] = lambda line: None
        """Sees every line received; what it does must not fail."""
        self._errors: deque[str] = deque(maxlen=8)
        self._level = logging.INFO
        self._line = ""
        self._skips = False
        self.callback = lib.llama_log_callback(self._receive)  # must live as long as the library may call it

    def install(self) -> None:
        lib.llama_log_set(self.callback, ctypes.c_void_p(0))

    def forget(self) -> None:
        """Start anew with the errors, before something that may fail."""
        self._errors.clear()

    @property
    def reason(self) -> str:
        """The last errors, oldest first, one per line; empty when there were none."""
        return "\n".join(self._errors)

    @property
    def is_out_of_memory(self) -> bool:
        return _OUT_OF_MEMORY.search(self.reason) is not None

    def _receive(self, level: int, text: bytes, _user_data: object) -> None:
        if level != _CONTINUED:
            self._skips = level == _DETAIL
            self._level = _LEVELS.get(level, logging.DEBUG)
        if self._skips:
            return
        self._line += text.decode("utf-8", "replace")
        if not self._line.endswith("\n") and len(self._line) < 4096:
            return
        line, self._line = self._line.strip(), ""
        if line:
            self._take(line)

    def _take(self, line: str) -> None:
        self.on_line(line)
        if self._level >= logging.ERROR:
            self._errors.append(line)
        elif "buffer size" in line:
            self._count(line)
        log.log(self._level, "%s", line)

    def _count(self, line: str) -> None:
        if (match := _BUFFER.match(line)) is None:
            return
        device, size_bytes = match[1], int(float(match[2]) * 1024 * 1024)
        if device.startswith("CPU") or device.endswith("_Host"):
            self.buffers.host_bytes += size_bytes
        else:
            self.buffers.device_bytes += size_bytes


native_log = NativeLog()


def load_failure(text: str) -> LoadError:
    """The error for what just failed, with llama.cpp's own last words."""
    reason = f"{text}: {native_log.reason}" if native_log.reason else text
    return OutOfMemory(reason) if native_log.is_out_of_memory else LoadError(reason)
