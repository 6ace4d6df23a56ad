"""`puna signout`: let the server forget its account at ollama.com."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.errors import Unauthorized
from server.cli.flags import Arguments
from server.cli.terminal import Output


def run(client: Client, args: Arguments, out: Output) -> int:
    """Sign out, or say that there was nothing to sign out from. Raises: CliError."""
    try:
        client.sign_out()
    except Unauthorized:
        out.write("You are not signed in to ollama.com\n\n")
        return 0
    out.write("You have signed out of ollama.com\n\n")
    return 0
