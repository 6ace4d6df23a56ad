"""`puna serve`: become the server."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.flags import Arguments
from server.cli.terminal import Output
from server.settings import from_environment


def run(client: Client, args: Arguments, out: Output) -> int:
    """Serve until a signal ends it."""
    from server.serving import serve  # here: no other command pays for the server's imports

    return serve(from_environment(), with_builtin=args.flag("with-builtin"))
