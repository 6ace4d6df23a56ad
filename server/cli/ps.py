"""`puna ps [PREFIX]`: the models in memory. Also what a container's health check runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.cli.client import Client
from server.cli.flags import Arguments
from server.cli.formats import ZERO_TIME, human_bytes, human_time, now, parse_time
from server.cli.list import ID_LENGTH
from server.cli.tables import render_table
from server.cli.terminal import Output
from server.cli.transport import Json

HEADER = ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")


def run(client: Client, args: Arguments, out: Output) -> int:
    """Print the table, in the server's order; an argument keeps the names that start with it."""
    prefix = args.positionals[0] if args.positionals else ""
    models = [model for model in client.running_models() if model.get("name", "").startswith(prefix)]
    out.write(format_running(models, now()))
    return 0


def format_running(models: Iterable[Json], moment: datetime) -> str:
    """The table. # Compat: registry-store-cli 7.5."""
    return render_table([_row(model, moment) for model in models], header=HEADER)


def _row(model: Json, moment: datetime) -> tuple[str, ...]:
    return (
        model.get("name", ""),
        model.get("digest", "")[:ID_LENGTH],
        human_bytes(model.get("size", 0)),
        format_processor(model.get("size", 0), model.get("size_vram", 0)),
        str(model.get("context_length", 0)),
        _until(parse_time(model.get("expires_at", ZERO_TIME)), moment),
    )


def format_processor(size: int, size_vram: int) -> str:
    """How the model's bytes are split between CPU and GPU, in percent."""
    if size_vram == 0:
        return "100% CPU"
    if size_vram == size:
        return "100% GPU"
    if size_vram > size or size == 0:
        return "Unknown"
    cpu = int((size - size_vram) / size * 100 + 0.5)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def _until(expires: datetime | None, moment: datetime) -> str:
    if expires is None or expires < moment:
        return "Stopping..."
    return human_time(expires, moment)
