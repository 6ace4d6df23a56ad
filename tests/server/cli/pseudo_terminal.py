"""A pseudo terminal with `puna` in it: what a person types, and what is then on the screen."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
ENTER, CTRL_C, CTRL_D, CTRL_J, UP = "\r", "\x03", "\x04", "\n", "\x1b[A"
PROMPT = ">>> "
_CONTROLS = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[78=>])")


class Terminal:
    """A process whose three streams are one pseudo terminal."""

    def __init__(self, *argv: str, **variables: str) -> None:
        self._screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", *argv],
            env={"TERM": "xterm", "LANG": "C.UTF-8", "PROMPT_TOOLKIT_NO_CPR": "1", "PATH": os.defpath, **variables},
            cwd=ROOT,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_begin_session,
        )
        os.close(terminal)
        self.seen = ""
        self._looked_at = 0

    def wait_for(self, text: str) -> str:
        """What is written up to the text's next occurrence. Fails when it does not come."""
        end = time.monotonic() + LIMIT_S
        while (found := self.seen.find(text, self._looked_at)) < 0:
            assert time.monotonic() < end, f"{text!r} did not come after {self.seen[self._looked_at :]!r}"
            self._read(end - time.monotonic())
        part = self.seen[self._looked_at : found]
        self._looked_at = found + len(text)
        return part

    def wait_for_prompt(self) -> str:
        """What is written before the next empty prompt; typing sooner would be typing into nothing."""
        return self.wait_for(f"{PROMPT}Send a message (/? for help)")

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def wait_for_end(self) -> int:
        """The exit status, with everything that was written read. Fails when it goes on writing."""
        end = time.monotonic() + LIMIT_S
        while self._read(end - time.monotonic()):
            assert time.monotonic() < end, f"it does not end after {self.seen[-500:]!r}"
        return self.process.wait(LIMIT_S)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._screen], [], [], max(timeout_s, 0))[0]:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.seen += _CONTROLS.sub("", data.decode("utf-8", "replace"))
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)


def _begin_session() -> None:
    """As a shell does: with a terminal to itself, and with Ctrl-C even where the tests run in the background."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
