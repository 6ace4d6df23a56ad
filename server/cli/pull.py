"""`puna pull MODEL`: fetch a model from a registry."""

from __future__ import annotations

from registry.errors import RegistryError
from registry.gojson import quote
from registry.names import DEFAULT_HOST, ModelName, Source, parse_source
from server.cli.client import Client
from server.cli.commands import PROGRAM
from server.cli.errors import CliError
from server.cli.flags import Arguments
from server.cli.progress import ProgressArea, progress
from server.cli.terminal import Output
from server.cli.transfers import PULL, show_transfer

NOT_IN_REGISTRY = "pull model manifest: file does not exist"


def run(client: Client, args: Arguments, out: Output) -> int:
    """Pull with bars on standard error. Raises: CliError."""
    pull_model(client, args.positionals[0], out, insecure=args.flag("insecure"), verb="pull")
    return 0


def pull_model(client: Client, name: str, out: Output, *, insecure: bool, verb: str) -> str:
    """Pull, and say under which name: where only a cloud model exists, a person is asked whether that was meant.

    `verb`: the command that the advice names when nobody can be asked. Raises: CliError.
    # Compat: registry-store-cli 7.3 (cmd/cloud_suggest.go).
    """
    cloud_name = None if insecure else cloud_variant(name)
    can_ask = cloud_name is not None and out.is_interactive
    try:
        with progress(out) as area:
            _pull(client, name, area, insecure=insecure, clear_when_missing=can_ask)
        return name
    except CliError as error:
        if cloud_name is None or NOT_IN_REGISTRY not in str(error) or not _exists(client, cloud_name):
            raise
        if not out.is_interactive:
            advice = f"{quote(cloud_name)} is available as a cloud model. Try:\n  {PROGRAM} {verb} {cloud_name}"
            raise CliError(f"{error}\n\n{advice}") from error
        if not confirm(f"Did you mean {quote(cloud_name)}?", out):
            raise
    with progress(out) as area:
        _pull(client, cloud_name, area, insecure=False)
    return cloud_name


def cloud_variant(name: str) -> str | None:
    """The cloud model's name for a bare name of the default registry, None for any other."""
    try:
        base, source = parse_source(name)
        parsed = ModelName.parse(base)
    except RegistryError:
        return None
    has_tag = base.rfind(":") > base.rfind("/")
    is_plain = source is Source.ANY and not has_tag and parsed.host.lower() == DEFAULT_HOST
    return f"{base}:cloud" if is_plain else None


def confirm(question: str, out: Output) -> bool:
    """Ask; an empty answer means yes, the end of the input no."""
    out.write(f"{question} [Y/n] ")
    answer = out.stdin.readline()
    return bool(answer) and answer.strip().lower() in ("", "y", "yes")


def _pull(client: Client, name: str, area: ProgressArea, *, insecure: bool, clear_when_missing: bool = False) -> None:
    try:
        show_transfer(client.pull(name, insecure=insecure), area, PULL)
    except CliError as error:
        if clear_when_missing and NOT_IN_REGISTRY in str(error):
            area.clear()
        raise


def _exists(client: Client, name: str) -> bool:
    try:
        client.show(name)
    except CliError:
        return False
    return True
