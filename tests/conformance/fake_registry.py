"""A toy model registry for the pull and push sessions: one thread, one port on loopback, content made on the spot.

Repositories (all under namespace `lib`); the tag does not matter unless said so:

    good          model, template, params, system, license; blobs answer 307 to the same server under the name localhost
    moving        first manifest request: version 1, later ones: version 2 (other template, no license)
    locked        401 with a Bearer challenge for this server's /token, then like good
    denied        401 also with a token          foreign    401 whose realm is on another host
    gated         412 with a JSON body           kaboom     500 "kaboom"
    garbage       manifest is not JSON           lying      model blob has other content than its digest says
    hollow        a layer whose blob is missing  nodigest   a layer with an empty digest
    anything else 404; what was pushed can be pulled again

GET /__log returns the requests so far, one line each; it is not part of the registry protocol.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.ollama.image."
TEMPLATE_1 = "{{ .System }}|{{ .Prompt }}|"
TEMPLATE_2 = "{{ .System }}#{{ .Prompt }}#"
LOGGED_HEADERS = ("accept", "content-type", "content-range", "x-redirect-uploads")


class FakeRegistry:
    """Context manager: serves on a free loopback port until the block ends. `model_file(name)` gives GGUF paths."""

    def __init__(self, model_file: Callable[[str], Path]) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.log: list[str] = []
        self.seen: dict[str, int] = {}
        self.uploads: dict[str, bytearray] = {}
        self._model_file = model_file
        self._filled = False
        self._lock = threading.Lock()

    def __enter__(self) -> FakeRegistry:
        registry = self

        class Handler(_Handler):
            pass

        Handler.registry = registry
        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fill(self) -> None:
        """Build the content when the first request arrives: most sessions never need it."""
        with self._lock:
            if self._filled:
                return
            self._filled = True
            gguf = self._model_file("bare").read_bytes()
            model, config = self.layer("model", gguf), self.config()
            extras = [
                self.layer("system", b"You are pulled."),
                self.layer("params", b'{"num_ctx":1024,"stop":["STOP"]}\n'),
            ]
            license_ = self.layer("license", b"Do what you like.")
            good = [model, self.layer("template", TEMPLATE_1.encode()), license_, *extras]
            self.manifests |= {
                "lib/good": manifest(config, good),
                "lib/locked": manifest(config, good),
                "lib/moving": manifest(config, good),
                "lib/moving 2": manifest(config, [model, self.layer("template", TEMPLATE_2.encode()), *extras]),
                "lib/garbage": b"<html>not a manifest</html>",
                "lib/hollow": manifest(
                    config, [model, {"mediaType": LAYER + "system", "digest": "sha256:" + "ab" * 32, "size": 5}]
                ),
                "lib/nodigest": manifest(config, [{"mediaType": LAYER + "system", "digest": "", "size": 5}]),
            }
            wrong = self.layer("system", b"expected text")
            self.blobs[wrong["digest"]] = b"tampered text"
            self.manifests["lib/lying"] = manifest(config, [model, wrong])

    def layer(self, kind: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": LAYER + kind, "digest": self.add(content), "size": len(content)}

    def config(self) -> dict[str, Any]:
        config = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1.0M"}
        text = json.dumps(config | {"file_type": "F16", "architecture": "amd64", "os": "linux"})
        return {"mediaType": CONFIG_TYPE, "digest": self.add(text.encode()), "size": len(text)}

    def add(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest


def manifest(config: dict[str, Any], layers: list[dict[str, Any]]) -> bytes:
    """Indented and with a key Ollama does not know, to see that a pulled manifest is kept byte for byte."""
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers, "extra": 1}, indent=1
    ).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that drops its connection is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if self.path == "/__log":
            return self.answer(200, json.dumps(self.registry.log).encode(), {"Content-Type": "application/json"})
        self.registry.fill()
        self.note()
        path, _, query = self.path.partition("?")
        if path == "/token":
            return self.answer(200, b'{"token":"let-me-in"}', {"Content-Type": "application/json"})
        if m := re.fullmatch(r"/v2/([^/]+/[^/]+)/manifests/([^/]+)", path):
            return self.manifest(m[1], m[2], body)
        if m := re.fullmatch(r"/v2/([^/]+/[^/]+)/blobs/uploads/([0-9]*)", path):
            return self.upload(m[1], m[2], query, body)
        if m := re.fullmatch(r"/v2/([^/]+/[^/]+)/blobs/(sha256:[0-9a-f]{64})", path):
            return self.blob(m[1], m[2])
        return self.answer(404, b'{"errors":[{"code":"NOT_FOUND"}]}')

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_one

    def note(self) -> None:
        kept = [f"{h}={self.headers[h]}" for h in LOGGED_HEADERS if self.headers.get(h)]
        kept += ["authorization" for _ in range(1) if self.headers.get("Authorization")]
        path = re.sub(r"(nonce|ts|etag)=[^&]*", r"\1=*", self.path)
        self.registry.log.append(" ".join([self.command, path, *kept]))

    def refused(self, repository: str) -> bool:
        name = repository.removeprefix("lib/")
        host = self.headers.get("Host", "")
        realm = "http://elsewhere.invalid/token" if name == "foreign" else f"http://{host}/token"
        challenge = {
            "WWW-Authenticate": f'Bearer realm="{realm}",service="toy",scope="repository:{repository}:pull,push"'
        }
        if name == "locked" and self.headers.get("Authorization") == "Bearer let-me-in":
            return False
        if name in ("locked", "denied", "foreign"):
            self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', challenge)
            return True
        return False

    def manifest(self, repository: str, tag: str, body: bytes) -> None:
        r = self.registry
        if self.refused(repository):
            return None
        if self.command == "PUT":
            r.manifests[f"{repository}:{tag}"] = body
            return self.answer(201, b"")
        if repository == "lib/kaboom":
            return self.answer(500, b"kaboom")
        if repository == "lib/gated":
            return self.answer(412, b'{"errors":[{"code":"GATED","message":"a newer version is needed"}]}')
        r.seen[repository] = r.seen.get(repository, 0) + 1
        key = "lib/moving 2" if repository == "lib/moving" and r.seen[repository] > 1 else repository
        content = r.manifests.get(f"{repository}:{tag}", r.manifests.get(key))
        if content is None:
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return self.answer(200, content, {"Content-Type": MANIFEST_TYPE})

    def blob(self, repository: str, digest: str) -> None:
        host, _, port = self.headers.get("Host", "").partition(":")
        if host != "localhost" and self.refused(repository):  # the storage host behind the redirect asks for nothing
            return None
        content = self.registry.blobs.get(digest)
        if content is None:
            return self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.command == "GET" and host != "localhost" and not wanted:
            return self.answer(307, b"", {"Location": f"http://localhost:{port}{self.path}"})
        if wanted:
            part = content[int(wanted[1]) : int(wanted[2]) + 1]
            return self.answer(206, part, {"Content-Range": f"bytes {wanted[1]}-{wanted[2]}/{len(content)}"})
        return self.answer(200, content)

    def upload(self, repository: str, session: str, query: str, body: bytes) -> None:
        r = self.registry
        if self.refused(repository):
            return None
        if self.command == "POST":
            session = str(len(r.uploads) + 1)
            r.uploads[session] = bytearray()
        else:
            r.uploads[session] += body
        where = {"Location": f"http://{self.headers.get('Host')}/v2/{repository}/blobs/uploads/{session}"}
        if self.command == "PUT":
            digest = (m := re.search(r"digest=([^&]+)", query)) and m[1].replace("%3A", ":")
            content = bytes(r.uploads[session])
            if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
                return self.answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
            r.add(content)
            return self.answer(201, b"")
        return self.answer(202, b"", where)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
