"""The child that converts: `python -m models.create.convert.worker`, which takes a `ConvertJob`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from models.create.child import Report, work
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.numbers import FROM_F8
from models.create.convert.output import OutputFile, write_plan
from models.create.convert.plan import Plan, has_projector, plan_adapter, plan_model, plan_projector
from models.create.messages import Converted, ConvertJob, Failed, Part
from models.errors import ModelError

log = logging.getLogger(__name__)

REPORT_BYTES: Final = 16 * 1024 * 1024


def perform(job: ConvertJob, report: Report) -> Converted | Failed:
    try:
        files = Checkpoint({name: Path(path) for name, path in job.files.items()}, job.name)
        plan = _plan(job, files)
        output = OutputFile(job.descriptor)
        write_plan(plan, output, _seldom(report))
        is_model = job.part is Part.MODEL
        return Converted(
            output.finish(),
            output.size_bytes,
            has_projector=is_model and has_projector(files),
            had_eight_bits=is_model and any(planned.tensor.kind == FROM_F8 for planned in plan.tensors),
        )
    except (ModelError, OSError) as error:
        return Failed(str(error))
    except MemoryError:
        return Failed("not enough memory to convert the model")
    except Exception:  # the edge of this process: foreign files can be wrong in ways that nobody thought of
        log.exception("the conversion failed")
        return Failed("the model cannot be converted: its files contradict each other")


def _plan(job: ConvertJob, files: Checkpoint) -> Plan:
    match job.part:
        case Part.MODEL:
            return plan_model(files)
        case Part.PROJECTOR:
            return plan_projector(files)
        case Part.ADAPTER:
            return plan_adapter(files, Path(job.base_path))


def _seldom(report: Report) -> Report:
    """Tells how far the file is after every so many bytes."""
    reported = 0

    def tell(completed: int, total: int) -> None:
        nonlocal reported
        if completed - reported >= REPORT_BYTES:
            reported = completed
            report(completed, total)

    return tell


if __name__ == "__main__":
    work(ConvertJob, perform)
