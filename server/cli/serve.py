"""`puna serve`: become the server."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.flags import Arguments
from server.cli.terminal import Output


def run(client: Client, args: Arguments, out: Output) -> int:
    """Serve until a signal ends it."""
    from server.__main__ import main  # here: no other command pays for the server's imports

    return main(["--with-builtin"] if args.flag("with-builtin") else [])
