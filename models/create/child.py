"""The child's side of making a file: one job from stdin, answers on stdout, and an end as soon as nobody listens."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

import msgspec

from models.create.messages import MAX_LINE_BYTES, Failed, Written, encode_line

J = TypeVar("J", bound=msgspec.Struct)

Report = Callable[[int, int], None]
"""Called with the bytes that are done, and those that there are."""

NICENESS: Final = 5
"""Replies that are being generated come first."""


def work(job: type[J], perform: Callable[[J, Report], msgspec.Struct]) -> NoReturn:
    """Do one job and end. `perform` gives the result, or `Failed`."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    os.nice(NICENESS)
    asked = msgspec.json.decode(sys.stdin.buffer.readline(MAX_LINE_BYTES), type=job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = perform(asked, lambda completed, total: _say(Written(completed, total)))
    _say(answer)
    logging.shutdown()
    os._exit(isinstance(answer, Failed))  # native threads may still be there; nothing of theirs is worth waiting for


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)  # there is nobody left to tell


def _say(message: msgspec.Struct) -> None:
    sys.stdout.buffer.write(encode_line(message))
    sys.stdout.buffer.flush()
