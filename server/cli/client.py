"""The server's endpoints as methods, with the bodies that Ollama's own command line sends.

# Compat: registry-store-cli 0.3, 7.3; http-api 11 (api/types.go: fields without `omitempty` are sent empty).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from server.cli.transport import Json, Transport


class Client:
    """One server. Methods that yield are streams; all raise what `Transport` raises."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def heartbeat(self) -> None:
        """Raises ConnectionFailed when nobody answers."""
        self._http.call("HEAD", "/")

    def version(self) -> str:
        return str((self._http.call("GET", "/api/version") or {}).get("version") or "")

    def list_models(self) -> list[Json]:
        return (self._http.call("GET", "/api/tags") or {}).get("models") or []

    def running_models(self) -> list[Json]:
        return (self._http.call("GET", "/api/ps") or {}).get("models") or []

    def show(
        self, model: str = "", *, name: str = "", verbose: bool = False, system: str = "", options: Json | None = None
    ) -> Json:
        """Everything about a model. `name` is the deprecated field, which `show` still uses."""
        body = {"model": model, "system": system, "template": "", "verbose": verbose, "options": options, "name": name}
        return self._http.call("POST", "/api/show", body) or {}

    def copy(self, source: str, destination: str) -> None:
        self._http.call("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, name: str) -> None:
        self._http.call("DELETE", "/api/delete", {"model": "", "name": name})

    def pull(self, name: str, *, insecure: bool = False) -> Iterator[Json]:
        return self._http.stream("POST", "/api/pull", _transfer_body(name, insecure))

    def push(self, name: str, *, insecure: bool = False) -> Iterator[Json]:
        return self._http.stream("POST", "/api/push", _transfer_body(name, insecure))

    def create(self, request: Json) -> Iterator[Json]:
        """`request` holds the fields that have a value, `model` among them."""
        return self._http.stream("POST", "/api/create", {**request, "name": ""})

    def upload_blob(self, digest: str, chunks: Iterable[bytes]) -> None:
        self._http.upload(f"/api/blobs/{digest}", chunks)

    def generate(
        self,
        model: str,
        prompt: str = "",
        *,
        system: str = "",
        images: Sequence[bytes] = (),
        options: Json | None = None,
        **said: Any,
    ) -> Iterator[Json]:
        """`said`: optional fields such as `format`, `keep_alive`, `think`; None leaves one out."""
        body: Json = {"model": model, "prompt": prompt, "suffix": "", "system": system, "template": ""}
        return self._http.stream("POST", "/api/generate", body | _present(images=list(images), **said) | _with(options))

    def chat(self, model: str, messages: Sequence[Json], *, options: Json | None = None, **said: Any) -> Iterator[Json]:
        """`said`: optional fields such as `format`, `keep_alive`, `think`, `tools`; None leaves one out."""
        body: Json = {"model": model, "messages": list(messages)}
        return self._http.stream("POST", "/api/chat", body | _present(**said) | _with(options))

    def embed(self, model: str, text: str | Sequence[str], **said: Any) -> Json:
        """`said`: the optional fields `keep_alive`, `truncate`, `dimensions`; None leaves one out."""
        body: Json = {"model": model, "input": text}
        return self._http.call("POST", "/api/embed", body | _present(**said) | _with(None)) or {}

    def who_am_i(self) -> Json:
        """The account at ollama.com. Raises: Unauthorized when there is none."""
        return self._http.call("POST", "/api/me") or {}

    def sign_out(self) -> None:
        self._http.call("POST", "/api/signout")


def _transfer_body(name: str, insecure: bool) -> Json:
    return {"model": ""} | _present(insecure=insecure) | {"username": "", "password": "", "name": name}


def _present(**fields: Any) -> Json:
    """Go's `omitempty`: no None, no empty list, no False; but False is said where the field is a pointer in Go."""
    pointers = ("stream", "think", "truncate")
    return {
        name: value
        for name, value in fields.items()
        if value is not None and (name in pointers or (value is not False and value != []))
    }


def _with(options: Json | None) -> Json:
    return {"options": options}
