"""The child that converts: `python -m models.create.convert.worker DESCRIPTOR`, a `Job` on stdin, answers on stdout."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO, Final

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.eight_bits import has_eight_bits
from models.create.convert.messages import (
    MAX_LINE_BYTES,
    Failed,
    Finished,
    FromChild,
    Job,
    Part,
    Written,
    decode_job,
    encode_line,
)
from models.create.convert.output import OutputFile, write_plan
from models.create.convert.plan import Plan, has_projector, plan_adapter, plan_model, plan_projector
from models.errors import ModelError

log = logging.getLogger(__name__)

REPORT_BYTES: Final = 16 * 1024 * 1024
NICENESS: Final = 5
"""Who chats meanwhile comes first."""


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="convert: %(message)s")
    os.nice(NICENESS)
    job = decode_job(sys.stdin.buffer.readline(MAX_LINE_BYTES))
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    _answer(_perform(job, int(sys.argv[1])))


def _end_with_parent(stdin: BinaryIO) -> None:
    stdin.read()
    os._exit(1)


def _perform(job: Job, descriptor: int) -> Finished | Failed:
    try:
        files = Checkpoint({name: Path(path) for name, path in job.files.items()}, job.name)
        plan = _plan(job, files)
        output = OutputFile(descriptor)
        write_plan(plan, output, _Reporter())
        is_model = job.part is Part.MODEL
        return Finished(
            output.finish(),
            output.size_bytes,
            has_projector=is_model and has_projector(files),
            had_eight_bits=is_model and has_eight_bits(files.config),
        )
    except (ModelError, OSError) as error:
        return Failed(str(error))
    except MemoryError:
        return Failed("not enough memory to convert the model")
    except Exception:  # the edge of this process: foreign files can be wrong in ways that nobody thought of
        log.exception("the conversion failed")
        return Failed("the model cannot be converted: its files contradict each other")


def _plan(job: Job, files: Checkpoint) -> Plan:
    match job.part:
        case Part.MODEL:
            return plan_model(files)
        case Part.PROJECTOR:
            return plan_projector(files)
        case Part.ADAPTER:
            return plan_adapter(files, Path(job.base_path))


class _Reporter:
    """Tells the parent now and then how far the file is."""

    def __init__(self) -> None:
        self._reported = 0

    def __call__(self, completed: int, total: int) -> None:
        if completed - self._reported >= REPORT_BYTES:
            self._reported = completed
            _answer(Written(completed, total))


def _answer(message: FromChild) -> None:
    sys.stdout.buffer.write(encode_line(message))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
