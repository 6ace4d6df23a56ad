"""The child that quantizes: native code reads the file, so a file that it cannot bear takes nothing else down.

`python -m models.create.quantize`, which takes a `QuantizeJob`.
"""

from __future__ import annotations

from pathlib import Path

from models.create.child import Report, work
from models.create.importance import InvalidImportance, read_importance
from models.create.messages import Failed, Quantized, QuantizeJob
from models.llama.quantize import Quantizing, QuantizingFailed, quantize


def perform(job: QuantizeJob, report: Report) -> Quantized | Failed:
    completed = job.total - sum(job.sizes.values())

    def on_tensor(name: str) -> None:
        nonlocal completed
        completed += job.sizes.get(name, 0)
        report(completed, job.total)

    try:
        importance = read_importance(Path(job.importance)) if job.importance else {}
        asked = Quantizing(Path(job.source), Path(job.target), job.file_type, job.precise, importance)
        quantize(asked, on_tensor)
    except (QuantizingFailed, InvalidImportance, OSError) as error:
        return Failed(f"quantizing failed: {error}")
    return Quantized()


if __name__ == "__main__":
    work(QuantizeJob, perform)
