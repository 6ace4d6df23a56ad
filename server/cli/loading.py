"""Taking models into memory and out of it, as `run`, `stop` and `rm` do."""

from __future__ import annotations

from typing import Any

from registry.errors import ConflictingSource
from registry.names import Source, parse_source
from server.cli.client import Client
from server.cli.progress import ProgressArea, spinner_until
from server.cli.terminal import Output

OLLAMA_COM = "https://ollama.com"


def load(client: Client, model: str, out: Output, *, keep_alive: Any = None, think: Any = None) -> None:
    """Load a model with a generation without prompt; a model on another machine is only announced.

    Raises: CliError, Unauthorized for a cloud model without an account.
    # Compat: registry-store-cli 7.3, 7.9 (cmd/cmd.go loadOrUnloadModel).
    """
    with spinner_until(out) as area:
        info = client.show(model)
        if info.get("remote_host") or is_cloud(model):
            _announce(client, model, info, area, out)
        else:
            _drain(client, model, keep_alive=keep_alive, think=think)


def unload(client: Client, model: str, out: Output) -> None:
    """Let the server drop a model at once. Raises: CliError."""
    with spinner_until(out):
        info = client.show(model)
        if info.get("remote_host") or is_cloud(model):
            if _is_on_ollama_com(model, info):
                client.who_am_i()
        else:
            _drain(client, model, keep_alive="0s")


def is_cloud(model: str) -> bool:
    """Whether the name asks for the cloud: `m:cloud`, `m:7b-cloud`."""
    try:
        return parse_source(model)[1] is Source.CLOUD
    except ConflictingSource:
        return False


def _is_on_ollama_com(model: str, info: dict[str, Any]) -> bool:
    return is_cloud(model) or str(info.get("remote_host", "")).startswith(OLLAMA_COM)


def _announce(client: Client, model: str, info: dict[str, Any], area: ProgressArea, out: Output) -> None:
    where = str(info.get("remote_host", ""))
    if _is_on_ollama_com(model, info):
        client.who_am_i()
        where = "ollama.com"
    area.clear()
    mark = " ⚡" if where == "ollama.com" else ""
    out.complain(f"Connecting to '{info.get('remote_model') or model}' on '{where}'{mark}\n")


def _drain(client: Client, model: str, **said: Any) -> None:
    for _ in client.generate(model, **said):
        pass
