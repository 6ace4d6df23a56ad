"""`puna cp SOURCE DESTINATION`: a second name for a model."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.flags import Arguments
from server.cli.terminal import Output


def run(client: Client, args: Arguments, out: Output) -> int:
    """Copy, and say so; an existing model of that name is replaced."""
    source, destination = args.positionals
    client.copy(source, destination)
    out.write(f"copied '{source}' to '{destination}'\n")
    return 0
