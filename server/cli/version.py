"""`puna --version`: the server's version, and the client's when it is another."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.errors import CliError
from server.cli.flags import Arguments
from server.cli.terminal import Output


def run(client: Client, args: Arguments, out: Output) -> int:
    """Print the versions; that there is no server is a warning. # Compat: registry-store-cli 7.4."""
    try:
        server = client.version()
    except CliError:
        server = ""
        out.write("Warning: could not connect to a running Puna instance\n")
    if server:
        out.write(f"puna version is {server}\n")
    if server != out.environment.version:
        out.write(f"Warning: client version is {out.environment.version}\n")
    return 0
