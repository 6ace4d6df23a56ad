"""A runner's process, seen from outside: start it, wait for its model, follow its log, kill it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import deque

from models.errors import LoadError, OutOfMemory
from models.runner.messages import FromRunner, LoadFailed, Ready

logger = logging.getLogger(__name__)

WORKER = "models.runner.worker"
STOP_TIMEOUT_S = 5.0
KEPT_LOG_LINES = 20
WORTH_TELLING = ("failed to mlock", "`make setup`")
"""Parts of lines of the child's log that are no details: somebody asked for what could not be done, or has to do it."""


async def spawn(theirs: socket.socket) -> asyncio.subprocess.Process:
    """Start a child that holds this end of a socket pair. Raises: LoadError."""
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", WORKER, str(theirs.fileno()),
            pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise LoadError(f"error starting llama-server: {error}") from error


async def until_ready(
    said: asyncio.Queue[FromRunner | None],
    process: asyncio.subprocess.Process,
    log: LogTail,
    stall_timeout_s: float | None,
) -> Ready:
    """Wait until the model is loaded; every sign of life starts the stall timer anew.

    Raises: LoadError, OutOfMemory.
    """
    while True:
        try:
            message = await asyncio.wait_for(said.get(), stall_timeout_s)
        except TimeoutError as error:
            why = log.last_error or "no progress"
            raise LoadError(f"timed out waiting for llama-server to start - {why}") from error
        match message:
            case None:
                status = await _ended(process)
                await log.closed()
                how = f"signal: {-status}" if status < 0 else f"exit status {status}"
                raise LoadError.terminated(log.last_error, how)
            case Ready():
                return message
            case LoadFailed(text=text, out_of_memory=True):
                raise OutOfMemory(f"llama-server reported out-of-memory during startup: {text}")
            case LoadFailed(text=text):
                raise LoadError.terminated(text)


def kill(process: asyncio.subprocess.Process) -> None:
    """As `process.kill()`, which asks for the exit status first, and so takes it away from asyncio's child watcher."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


class LogTail:
    """Passes the child's stderr on to the log and remembers its end, for the text of an error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        self._lines: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        self._task = asyncio.create_task(self._follow(process.stderr, process.pid))

    @property
    def last_error(self) -> str:
        """The last line that speaks of an error, else nothing."""
        return next((line for line in reversed(self._lines) if "error" in line.lower() or "assert" in line.lower()), "")

    async def closed(self) -> None:
        await asyncio.wait({self._task}, timeout=1.0)

    async def _follow(self, stderr: asyncio.StreamReader, pid: int) -> None:
        while True:
            try:
                line = await stderr.readline()
            except ValueError:  # a line longer than the buffer: the rest of it follows
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            self._lines.append(text)
            is_detail = not any(part in text for part in WORTH_TELLING)
            logger.log(logging.DEBUG if is_detail else logging.WARNING, "runner %d: %s", pid, text)


async def _ended(process: asyncio.subprocess.Process) -> int:
    """The exit status of a child that has closed its end; one that then does not end is killed."""
    try:
        return await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        kill(process)
        return await process.wait()
