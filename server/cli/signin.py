"""`puna signin`: which account at ollama.com the server has, or how to get it one."""

from __future__ import annotations

from server.cli.client import Client
from server.cli.errors import Unauthorized
from server.cli.flags import Arguments
from server.cli.terminal import Output

NOT_SIGNED_IN = "You need to be signed in to Ollama to run Cloud models.\n\n"


def run(client: Client, args: Arguments, out: Output) -> int:
    """Print the account's name, or the address to sign in at. Raises: CliError."""
    try:
        user = client.who_am_i()
    except Unauthorized as error:
        ask_to_sign_in(error, out)
        return 0
    if user.get("name"):
        out.write(f"You are already signed in as user '{user['name']}'\n\n")
    return 0


def ask_to_sign_in(error: Unauthorized, out: Output, text: str = NOT_SIGNED_IN) -> None:
    """What a command says instead of an error when the account is missing."""
    out.write(text)
    if error.signin_url:
        out.write(f"If your browser did not open, navigate to:\n    {error.signin_url}\n\n")
