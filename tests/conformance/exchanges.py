"""Session files, the HTTP client that plays them, and the placeholders they contain. Standard library only.

A session is a JSON file: set-up models, then an ordered list of exchanges (README.md has the format). Requests and
recorded responses contain placeholders instead of values that belong to one run:

    {{sha256:NAME}}   hex digest of the model file NAME.gguf      {{sha12:NAME}}   its first 12 digits
    {{target}}        host:port of the server under test          {{registry}}     host:port of the toy registry
    {{models_dir}}    directory that contains blobs/              {{capture:KEY}}  value taken from an earlier answer
    {{media}}         Ollama's random image marker in prompts rendered by a Jinja template
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conformance import make_models

HEADERS_KEPT = ("content-type", "location", "allow", "vary", "cache-control", "www-authenticate", "retry-after")
TIMEOUT_S = 120.0
PLACEHOLDER = re.compile(r"\{\{(sha256|sha12|target|registry|models_dir|capture)(?::([A-Za-z0-9_.-]+))?\}\}")
BLOB_PATH = re.compile(r"""/[^\s"'\\]*(?=/blobs/sha256-)""")


@dataclass(frozen=True)
class Response:
    """What came back; `framing` is how the body length was announced."""

    status: int
    headers: dict[str, list[str]]
    body: bytes
    framing: str

    @property
    def content_type(self) -> str:
        return ", ".join(self.headers.get("content-type", []))


@dataclass
class World:
    """Everything placeholders are resolved against."""

    base_url: str
    models: Path
    registry: str = "127.0.0.1:0"
    captures: dict[str, Any] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return urlsplit(self.base_url).netloc

    def model_file(self, name: str) -> Path:
        return make_models.make(name, self.models)

    def digest(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = make_models.sha256(self.model_file(name))
        return self._digests[name]

    def fill(self, value: Any) -> Any:
        """Replace placeholders in a request; a string that is one capture becomes the captured JSON value."""
        if isinstance(value, dict):
            return {self.fill(k): self.fill(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if not isinstance(value, str):
            return value
        whole = PLACEHOLDER.fullmatch(value)
        if whole and whole[1] == "capture":
            return self.captures[whole[2]]
        return PLACEHOLDER.sub(lambda m: self._one(m[1], m[2]), value)

    def _one(self, kind: str, name: str | None) -> str:
        match kind:
            case "sha256":
                return self.digest(name or "")
            case "sha12":
                return self.digest(name or "")[:12]
            case "target":
                return self.target
            case "registry":
                return self.registry
            case "capture":
                return str(self.captures[name or ""])
        raise ValueError(f"{kind} cannot be used in a request")

    def blank(self, text: str) -> str:
        """Put placeholders back into a response, so that answers of different runs compare equal."""
        for name in make_models.MODELS:
            if (self.models / f"{name}.gguf").exists():
                digest = self.digest(name)
                text = text.replace(digest, f"{{{{sha256:{name}}}}}").replace(digest[:12], f"{{{{sha12:{name}}}}}")
        text = BLOB_PATH.sub("{{models_dir}}", text)
        text = re.sub(r"__ollama_media_[0-9a-f]{32}__", "{{media}}", text)
        text = re.sub(r"(?<=open )/\S*(?=/manifests/)", "{{models_dir}}", text)
        return text.replace(self.target, "{{target}}").replace(self.registry, "{{registry}}")


def send(world: World, request: dict[str, Any]) -> Response:
    """Send one request of a session as it is described, nothing normalised, each on a connection of its own."""
    parts = urlsplit(f"http://{world.registry}" if request.get("to") == "registry" else world.base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S)
    try:
        body = _body(world, request)
        headers = {"Host": parts.netloc, "User-Agent": "conformance"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= world.fill(request.get("headers", {}))
        connection.putrequest(request["method"], world.fill(request["path"]), skip_host=True, skip_accept_encoding=True)
        for key, value in headers.items():
            if value is not None:
                connection.putheader(key, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = _read(answer, request.get("hang_up_after_lines"))
    finally:
        connection.close()
    framing = (
        "chunked"
        if answer.headers.get("transfer-encoding")
        else "length"
        if answer.headers.get("content-length")
        else "none"
    )
    kept: dict[str, list[str]] = {}
    for key, value in answer.headers.items():
        if key.lower() in HEADERS_KEPT or key.lower().startswith("access-control-"):
            kept.setdefault(key.lower(), []).append(value)
    return Response(answer.status, kept, data, framing)


def _read(answer: http.client.HTTPResponse, lines: int | None) -> bytes:
    if lines is None:
        return answer.read()
    return b"".join(answer.readline() for _ in range(lines))


def _body(world: World, request: dict[str, Any]) -> bytes | None:
    if "json" in request:
        return json.dumps(world.fill(request["json"]), ensure_ascii=False, separators=(",", ":")).encode()
    if "text" in request:
        return str(world.fill(request["text"])).encode("utf-8", "surrogateescape")
    if "base64" in request:
        return base64.b64decode(request["base64"])
    if "model_file" in request:
        return world.model_file(request["model_file"]).read_bytes()
    return None


def capture(world: World, exchange: dict[str, Any], response: Response) -> None:
    """Remember values of an answer under the names the exchange asks for (dotted paths; last line of a stream)."""
    for name, path in exchange.get("capture", {}).items():
        value: Any = json.loads(response.body.decode().strip().splitlines()[-1])
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        world.captures[name] = value


# --------------------------------------------------------------------------------------------------------------------
# State of the server before a session


class SetupFailed(Exception):
    """The server could not be brought into the state a session starts from."""


def _call(world: World, method: str, path: str, body: Any = None) -> Any:
    request: dict[str, Any] = {"method": method, "path": path} | ({} if body is None else {"json": body})
    response = send(world, request)
    if response.status != 200:
        raise SetupFailed(f"{method} {path} {json.dumps(body)[:200]}: {response.status} {response.body[:300]!r}")
    return json.loads(response.body.decode().splitlines()[-1]) if response.body.strip() else None


def model_names(world: World) -> list[str]:
    return [m["name"] for m in _call(world, "GET", "/api/tags")["models"]]


def clear(world: World) -> None:
    """Unload every model, delete every model."""
    for name in running(world):
        unload(world, name)
    if not wait_until(lambda: not running(world), limit_s=5.0):
        _unload_orphans(world)
    for name in model_names(world):
        _call(world, "DELETE", "/api/delete", {"model": name})


def running(world: World) -> list[str]:
    return [m["name"] for m in _call(world, "GET", "/api/ps")["models"]]


def unload(world: World, name: str) -> None:
    send(world, {"method": "POST", "path": "/api/generate", "json": {"model": name, "keep_alive": 0}})


def _unload_orphans(world: World) -> None:
    """A loaded model whose name was deleted cannot be addressed; one with the same weights unloads it."""
    for name in make_models.MODELS:
        if name != "lora":
            upload(world, name)
            _call(
                world,
                "POST",
                "/api/create",
                {"model": "cf-orphan", "files": {f"{name}.gguf": f"sha256:{world.digest(name)}"}},
            )
            unload(world, "cf-orphan")
    if not wait_until(lambda: not running(world)):
        raise SetupFailed(f"models do not unload: {running(world)}")


def wait_until(condition: Callable[[], bool], limit_s: float = 15.0) -> bool:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def set_up(world: World, session: dict[str, Any]) -> None:
    """Start from an empty server with exactly the session's models, created through the API, none loaded."""
    clear(world)
    world.captures.clear()
    for body in session.get("setup", []):
        for name in sorted(_names_in(body)):
            upload(world, name)
        last = _call(world, "POST", "/api/create", body)
        if last != {"status": "success"}:
            raise SetupFailed(f"create {body.get('model')}: {last}")


def upload(world: World, name: str) -> None:
    digest = f"sha256:{world.digest(name)}"
    if send(world, {"method": "HEAD", "path": f"/api/blobs/{digest}"}).status != 200:
        answer = send(world, {"method": "POST", "path": f"/api/blobs/{digest}", "model_file": name})
        if answer.status not in (200, 201):
            raise SetupFailed(f"upload of {name}: {answer.status} {answer.body[:200]!r}")


def _names_in(value: Any) -> set[str]:
    return {m[2] for m in PLACEHOLDER.finditer(json.dumps(value)) if m[1] == "sha256"}
