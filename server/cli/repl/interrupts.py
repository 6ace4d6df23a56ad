"""Ctrl-C in a chat: it ends what is going on, and nothing else.

Python raises KeyboardInterrupt wherever the main thread happens to be. Between a reply and the next prompt that would
end the chat, and in the middle of the line editor's event loop it would leave a traceback behind.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Takes SIGINT while a chat lasts (`taken`), and raises KeyboardInterrupt only where that is wanted (`wanted`)."""

    def __init__(self) -> None:
        self._are_wanted = False

    @contextmanager
    def taken(self) -> Generator[None, None, None]:
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def wanted(self) -> Generator[None, None, None]:
        """Raises: KeyboardInterrupt, at any point within, but never later."""
        self._are_wanted = True
        try:
            yield
        finally:
            self._are_wanted = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._are_wanted:
            self._are_wanted = False
            raise KeyboardInterrupt
