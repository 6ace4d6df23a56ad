"""`puna list [PREFIX]`: the models in the store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.cli.client import Client
from server.cli.flags import Arguments
from server.cli.formats import ZERO_TIME, human_bytes, human_time, now, parse_time
from server.cli.tables import render_table
from server.cli.terminal import Output
from server.cli.transport import Json

HEADER = ("NAME", "ID", "SIZE", "MODIFIED")
ID_LENGTH = 12


def run(client: Client, args: Arguments, out: Output) -> int:
    """Print the table, in the server's order; an argument keeps the names that start with it, case ignored."""
    prefix = args.positionals[0] if args.positionals else ""
    show_models(client, prefix, out)
    return 0


def show_models(client: Client, prefix: str, out: Output) -> None:
    models = [model for model in client.list_models() if model.get("name", "").lower().startswith(prefix.lower())]
    out.write(format_models(models, now()))


def format_models(models: Iterable[Json], moment: datetime) -> str:
    """The table. # Compat: registry-store-cli 7.5."""
    return render_table([_row(model, moment) for model in models], header=HEADER)


def _row(model: Json, moment: datetime) -> tuple[str, ...]:
    size = "-" if model.get("remote_model") else human_bytes(model.get("size", 0))
    modified = human_time(parse_time(model.get("modified_at", ZERO_TIME)), moment)
    return model.get("name", ""), model.get("digest", "")[:ID_LENGTH], size, modified
