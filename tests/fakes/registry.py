"""A real HTTP registry in process, on a free loopback port, that misbehaves on demand.

It holds one flat set of blobs and manifests by `namespace/model:tag`. What goes wrong is said beforehand: each request
of a kind ("manifest", "head", "blob", "token", "begin", "part", "target", "status", "commit") takes the next fault that
is listed for it; `None` stands for a request without one.

    with FakeRegistry() as registry:
        name = registry.add_model("lib/m", {"model": b"weights"})
        registry.faults["blob"] = [None, Drop(after_bytes=3)]
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from registry.names import ModelName
from tests.fakes.faulty_http import Fault
from tests.fakes.registry_protocol import MANIFEST_TYPE, OTHER_HOST, RegistryHandler, Request

CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
MAX_STALL_S = 10.0
SEND_BUFFER_BYTES = 64 << 10


class FakeRegistry:
    """`auth` is None, "token" or "basic"; with `has_storage` blobs are redirected to another host."""

    def __init__(self, *, has_storage: bool = True) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.faults: defaultdict[str, list[Fault | None]] = defaultdict(list)
        self.requests: list[Request] = []
        self.uploads: dict[str, bytearray] = {}
        self.sent_bytes = 0
        self.has_storage = has_storage
        self.redirects_uploads = False
        self.takes_mounts = False
        self.auth: str | None = None
        self.realm: str | None = None
        self.token = "let-me-in"
        self.password = "user:secret"
        self.pause_s = 0.0
        """After each chunk of a body, to make a download last."""
        self._released = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        registry = self

        class Handler(RegistryHandler):
            pass

        Handler.registry = registry
        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.host = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def use_tls(self, folder: Path) -> None:
        """Serve HTTPS from now on, with a certificate for `localhost` that only its own key has signed."""
        self._server.socket = _server_tls(folder).wrap_socket(self._server.socket, server_side=True)

    # -- content

    def name(self, repository: str, tag: str = "latest") -> ModelName:
        return ModelName.parse(f"{self.host}/{repository}:{tag}")

    def add(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest

    def layer(self, kind: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": LAYER_TYPE + kind, "digest": self.add(content), "size": len(content)}

    def config(self, **fields: object) -> dict[str, Any]:
        content = json.dumps({"model_format": "gguf", "model_family": "test", **fields}).encode()
        return {"mediaType": CONFIG_TYPE, "digest": self.add(content), "size": len(content)}

    def add_model(self, repository: str, layers: Mapping[str, bytes], tag: str = "latest") -> ModelName:
        """A sound model; its manifest is indented and has an unknown key, as a registry may write it."""
        return self.add_manifest(repository, [self.layer(kind, content) for kind, content in layers.items()], tag=tag)

    def add_manifest(
        self, repository: str, layers: Iterable[Mapping[str, Any]], *, tag: str = "latest", **fields: Any
    ) -> ModelName:
        """A manifest with these layers, sound or not."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self.config(),
            "layers": list(layers),
            "extra": 1,
        }
        return self.add_raw(repository, json.dumps(manifest | fields, indent=1).encode(), tag)

    def add_raw(self, repository: str, raw: bytes, tag: str = "latest") -> ModelName:
        self.manifests[f"{repository}:{tag}"] = raw
        return self.name(repository, tag)

    # -- what happened

    def lines(self, *methods: str) -> list[str]:
        return [request.line for request in self.requests if not methods or request.method in methods]

    def take_fault(self, kind: str) -> Fault | None:
        with self._lock:
            faults = self.faults[kind]
            return faults.pop(0) if faults else None

    def count(self, n_bytes: int) -> None:
        with self._lock:
            self.sent_bytes += n_bytes

    def stall(self) -> None:
        self._released.wait(MAX_STALL_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, Any]:
        """What was sent counts, so little of it may be on its way to a client that is slow, or killed."""
        connection, address = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return connection, address

    def handle_error(self, *_: object) -> None:
        """A client that drops its connection is nothing to report."""


def _server_tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, OTHER_HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(OTHER_HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "tls.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
