"""The server's side of a child that makes a file: start it, listen to it, end it."""

from __future__ import annotations

import contextlib
import logging
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from typing import IO, Any, Final, TypeVar

import msgspec

from models.create.messages import MAX_LINE_BYTES, Failed, Written, encode_line
from models.create.request import NO_DIGEST, Progress
from models.errors import CreateFailed

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=msgspec.Struct)

LOG_END_BYTES: Final = 4096


def run_child(
    module: str,
    job: msgspec.Struct,
    result: type[R],
    progress: Progress,
    *,
    heartbeat_s: float,
    descriptors: tuple[int, ...] = (),
) -> Generator[Progress, None, R]:
    """How far a child is, again and again; in the end its result.

    `progress`: what is said before the child has said anything. `heartbeat_s`: how often something is said at least,
    and how soon it is noticed that nobody listens any more. `descriptors` are inherited. Closing the generator ends
    the child at once.
    Raises: CreateFailed, with the child's own text or with the end of its log.
    """
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Written | Failed | result)
    with tempfile.TemporaryFile() as log:
        try:
            with _started(module, job, descriptors, log) as stdout:
                for line in _lines(stdout, heartbeat_s):
                    match decoder.decode(line) if line else None:
                        case Failed(text=text):
                            raise CreateFailed(text)
                        case Written(completed=completed, total=total):
                            progress = Progress(progress.status, NO_DIGEST, total, completed)
                        case result() as found:
                            return found
                        case None:
                            pass  # it is still at work
                    yield progress
        finally:
            end = _end_of(log)
            if end:
                logger.warning("%s: %s", module, end)
        raise CreateFailed(f"the process ended before its time: {end.rpartition(chr(10))[2]}".removesuffix(": "))


@contextlib.contextmanager
def _started(module: str, job: msgspec.Struct, descriptors: tuple[int, ...], log: IO[bytes]) -> Iterator[IO[bytes]]:
    """The child's stdout; the child has ended when the block is left."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, pass_fds=descriptors, bufsize=0,
        )  # fmt: skip
    except OSError as error:
        raise CreateFailed(f"the process cannot be started: {error}") from error
    assert process.stdin is not None and process.stdout is not None
    with process.stdout as stdout, process.stdin as stdin:
        try:
            with contextlib.suppress(BrokenPipeError):  # its end says why
                stdin.write(encode_line(job))
            yield stdout
        finally:
            process.kill()
            process.wait()


def _lines(stdout: IO[bytes], heartbeat_s: float) -> Iterator[bytes]:
    """Lines as they come; an empty one when none has come for a while."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while len(rest) < MAX_LINE_BYTES:
            if not selector.select(heartbeat_s):
                yield b""
                continue
            chunk = stdout.read(1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines


def _end_of(log: IO[bytes]) -> str:
    size = log.seek(0, 2)
    log.seek(max(0, size - LOG_END_BYTES))
    return log.read().decode("utf-8", "replace").strip()
