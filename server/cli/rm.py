"""`puna rm MODEL [MODEL...]`: remove models from the store."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.errors import CliError
from server.cli.flags import Arguments
from server.cli.loading import unload
from server.cli.terminal import Output


def run(client: Client, args: Arguments, out: Output) -> int:
    """Unload and remove one after the other; the first that fails ends it. Raises: CliError."""
    for name in args.positionals:
        try:
            unload(client, name, out)
        except CliError as error:
            if "not found" not in str(error).lower():
                out.complain(f"Warning: unable to stop model '{name}'\n")
        client.delete(name)
        out.write(f"deleted '{name}'\n")
    return 0
