"""For tests with threads and processes: waiting for what they do."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], limit_s: float = 10.0) -> bool:
    """Whether it comes true while another thread works; asked without pause, so that no time is guessed."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True
