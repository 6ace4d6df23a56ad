"""`puna stop MODEL`: take a model out of memory."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.errors import CliError
from server.cli.flags import Arguments
from server.cli.loading import unload
from server.cli.terminal import Output


def run(client: Client, args: Arguments, out: Output) -> int:
    """Unload; nothing is printed. Raises: CliError when there is no such model."""
    (model,) = args.positionals
    try:
        unload(client, model, out)
    except CliError as error:
        if "not found" in str(error):
            raise CliError(f'couldn\'t find model "{model}" to stop') from error
        raise
    return 0
