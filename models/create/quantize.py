"""The process that quantizes: native code reads the file, so a file that it cannot bear takes nothing else down.

    python -m models.create.quantize        the job: a line of JSON on stdin, which stays open while the work is wanted

It writes lines of JSON: the tensors that are done, a sign of life between them, and in the end how it ended.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from models.create.importance import InvalidImportance, read_importance
from models.llama.quantize import Quantizing, QuantizingFailed, quantize

SIGN_OF_LIFE_S = 0.2
NICENESS = 5
"""Replies that are being generated come first."""


def main() -> int:
    """Do the job; the exit status is 1 if it failed."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    os.nice(NICENESS)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    say = _Mouth()
    threading.Thread(target=say.signs_of_life, daemon=True).start()
    try:
        quantize(_parse(job), lambda name: say({"tensor": name}))
    except (QuantizingFailed, InvalidImportance, OSError) as error:
        say({"failed": str(error)})
        return 1
    say({"done": True})
    return 0


def _parse(job: dict[str, Any]) -> Quantizing:
    importance = read_importance(Path(job["importance"])) if job["importance"] else {}
    precise = [(pattern, kind) for pattern, kind in job["precise"]]
    return Quantizing(Path(job["source"]), Path(job["target"]), job["file_type"], precise, importance)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)  # there is nobody left to tell


class _Mouth:
    """Lines to the parent, from two threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def __call__(self, said: dict[str, Any]) -> None:
        with self._turn:
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()

    def signs_of_life(self) -> None:
        pause = threading.Event()
        while not pause.wait(SIGN_OF_LIFE_S):
            self({})


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # native threads may still be there; nothing of theirs is worth waiting for
