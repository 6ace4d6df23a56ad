"""`puna push MODEL`: send a model to a registry."""

from __future__ import annotations

from registry.errors import InvalidName
from registry.names import ModelName
from server.cli.client import Client
from server.cli.errors import CliError, Unauthorized
from server.cli.flags import Arguments
from server.cli.progress import progress
from server.cli.signin import ask_to_sign_in
from server.cli.terminal import Output
from server.cli.transfers import PUSH, show_transfer

_OLLAMA_HOSTS = (".ollama.ai", ".ollama.com")
_NOT_SIGNED_IN = "You need to be signed in to push models to ollama.com.\n\n"
_NOT_YOURS = "you are not authorized to push to this namespace, create the model under a namespace you own"


def run(client: Client, args: Arguments, out: Output) -> int:
    """Push, and say where the model can be found. Raises: CliError."""
    (name,) = args.positionals
    if goes_to_ollama(name):
        try:
            client.who_am_i()
        except Unauthorized as error:
            ask_to_sign_in(error, out, _NOT_SIGNED_IN)
            return 0
    try:
        with progress(out) as area:
            show_transfer(client.push(name, insecure=args.flag("insecure")), area, PUSH)
    except CliError as error:
        if any(text in str(error).lower() for text in ("access denied", "unauthorized")):
            raise CliError(_NOT_YOURS) from error
        raise
    out.write(f"\nYou can find your model at:\n\n\t{destination(name)}\n")
    return 0


def goes_to_ollama(name: str) -> bool:
    """Whether the name's registry is Ollama's own; an invalid name is left to the server."""
    try:
        return ModelName.parse(name).host.endswith(_OLLAMA_HOSTS)
    except InvalidName:
        return False


def destination(name: str) -> str:
    """Where a pushed model can be looked at. # Compat: registry-store-cli 7.4."""
    parsed = ModelName.parse(name)
    if goes_to_ollama(name):
        return "https://ollama.com/" + parsed.display.removesuffix(":latest")
    return parsed.full
