"""A real HTTP registry in process, on a free loopback port, that misbehaves on demand.

It holds one flat set of blobs and manifests by `namespace/model:tag`. What goes wrong is said beforehand: each request
of a kind ("manifest", "head", "blob", "token", "begin", "part", "target", "status", "commit") takes the next fault that
is listed for it; `None` stands for a request without one.

    with FakeRegistry() as registry:
        name = registry.add_model("lib/m", {"model": b"weights"})
        registry.faults["blob"] = [None, Drop(after_bytes=3)]
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from registry.names import ModelName

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
OTHER_HOST = "localhost"
"""The same server under another host name: blobs are redirected there."""
CHUNK_BYTES = 64 << 10
MAX_STALL_S = 10.0

# --------------------------------------------------------------------------------------------------------------------
# What can go wrong


@dataclass(frozen=True)
class Drop:
    """The connection is reset after so many bytes of the body."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Cut:
    """The connection is closed in good order after so many bytes of the body, which was promised whole."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Stall:
    """Nothing more is sent after so many bytes; before the status line with None."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Status:
    """A refusal, with a body and perhaps headers."""

    code: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WrongRange:
    """Another stretch than asked for, honestly labelled; or with `lie` labelled as if it were right."""

    shift: int = 1
    lie: bool = False


@dataclass(frozen=True)
class NoRange:
    """Everything with 200, whatever was asked for."""


@dataclass(frozen=True)
class Replace:
    """Another content, of any length."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Redirect:
    """To another address."""

    location: str
    code: int = 307


@dataclass(frozen=True)
class Trickle:
    """So many bytes at a time, with a pause after each."""

    chunk_bytes: int
    pause_s: float = 0.001


@dataclass(frozen=True)
class NoLength:
    """A HEAD answer that does not say how long the blob is."""


Fault = Drop | Cut | Stall | Status | WrongRange | NoRange | Replace | Redirect | Trickle | NoLength


# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


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

        class Handler(_Handler):
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


SEND_BUFFER_BYTES = 64 << 10


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


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def handle_one(self) -> None:
        body = self._read_body()
        if body is None:
            return
        request = Request(self.command, self.path, dict(self.headers), body)
        self.registry.requests.append(request)
        path = urlsplit(self.path).path
        for pattern, answer in _ROUTES:
            if match := re.fullmatch(pattern, path):
                return answer(self, body, *match.groups())
        return self.answer(404, b'{"errors":[{"code":"NOT_FOUND"}]}')

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_one

    def _read_body(self) -> bytes | None:
        """None, and the connection reset, where a fault says so."""
        length = int(self.headers.get("Content-Length") or 0)
        fault = None
        if self.command == "PATCH" or (self.command == "PUT" and self.path.startswith("/storage/")):
            fault = self.registry.take_fault("part" if self.command == "PATCH" else "target")
            self._part_fault = fault
        if isinstance(fault, Drop):
            kept = self.rfile.read(min(fault.after_bytes, length))
            session = urlsplit(self.path).path.rpartition("/")[2]
            if session in self.registry.uploads and self.command == "PATCH":
                self.registry.uploads[session] += kept
            self._reset()
            return None
        return self.rfile.read(length) if length else b""

    # -- the protocol

    def token_endpoint(self, body: bytes) -> None:
        fault = self.registry.take_fault("token")
        if fault is not None:
            return self.misbehave(fault, b"{}")
        identity = self.headers.get("Authorization", "") or parse_qs(body.decode()).get("refresh_token")
        if not identity:
            return self.answer(401, b"who are you?")
        return self.answer(200, json.dumps({"token": self.registry.token}).encode())

    def manifest_endpoint(self, body: bytes, repository: str, tag: str) -> None:
        registry = self.registry
        if self.is_refused(repository):
            return None
        fault = registry.take_fault("manifest")
        key = f"{repository}:{tag}"
        if self.command == "PUT":
            if fault is not None:
                return self.misbehave(fault, b"")
            registry.manifests[key] = body
            return self.answer(201, b"")
        content = registry.manifests.get(key)
        if fault is not None:
            return self.misbehave(fault, content or b"")
        if content is None:
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return self.answer(200, content, {"Content-Type": MANIFEST_TYPE})

    def blob_endpoint(self, body: bytes, repository: str, digest: str) -> None:
        registry = self.registry
        is_storage = self.headers.get("Host", "").startswith(OTHER_HOST)
        if not is_storage and self.is_refused(repository):
            return None
        content = registry.blobs.get(digest)
        if self.command == "HEAD":
            fault = registry.take_fault("head")
            if isinstance(fault, NoLength):
                return self.answer(200, b"", {"Transfer-Encoding": "chunked"})
            if fault is not None:
                return self.misbehave(fault, content or b"")
        if content is None:
            return self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')
        if self.command == "GET" and registry.has_storage and not is_storage:
            return self.answer(307, b"", {"Location": f"http://{OTHER_HOST}:{registry.port}{self.path}"})
        fault = registry.take_fault("blob") if self.command == "GET" else None
        return self.misbehave(fault, content) if fault is not None else self.send_content(content)

    def begin_endpoint(self, body: bytes, repository: str) -> None:
        registry = self.registry
        if self.is_refused(repository):
            return None
        fault = registry.take_fault("begin")
        if fault is not None:
            return self.misbehave(fault, b"")
        query = parse_qs(urlsplit(self.path).query)
        if registry.takes_mounts and query.get("mount", [""])[0] in registry.blobs:
            return self.answer(201, b"")
        session = str(len(registry.uploads) + 1)
        registry.uploads[session] = bytearray()
        return self.answer(202, b"", {"Location": f"/v2/{repository}/blobs/uploads/{session}?state=0"})

    def session_endpoint(self, body: bytes, repository: str, session: str) -> None:
        registry = self.registry
        if self.is_refused(repository):
            return None
        upload = registry.uploads.get(session)
        if upload is None:
            return self.answer(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
        if self.command == "GET":
            fault = registry.take_fault("status")
            if fault is not None:
                return self.misbehave(fault, b"")
            where = {"Location": self.session_url(repository, session), "Range": f"0-{max(len(upload) - 1, 0)}"}
            return self.answer(204, b"", where)
        if self.command == "PATCH":
            return self.part_endpoint(body, repository, session, upload)
        return self.commit_endpoint(upload)

    def part_endpoint(self, body: bytes, repository: str, session: str, upload: bytearray) -> None:
        if self._part_fault is not None:
            return self.misbehave(self._part_fault, b"")
        first = int(self.headers["Content-Range"].partition("-")[0])
        location = self.session_url(repository, session)
        if self.registry.redirects_uploads:
            target = f"http://{OTHER_HOST}:{self.registry.port}/storage/{session}/{first}"
            return self.answer(307, b"", {"Location": target, "Docker-Upload-Location": location})
        if first != len(upload):
            return self.answer(416, b"out of order")
        upload += body
        return self.answer(202, b"", {"Location": location, "Range": f"0-{len(upload) - 1}"})

    def storage_endpoint(self, body: bytes, session: str, first: str) -> None:
        if self._part_fault is not None:
            return self.misbehave(self._part_fault, b"")
        upload = self.registry.uploads[session]
        end = int(first) + len(body)
        if len(upload) < end:
            upload += bytes(end - len(upload))
        upload[int(first) : end] = body
        return self.answer(200, b"")

    def commit_endpoint(self, upload: bytearray) -> None:
        fault = self.registry.take_fault("commit")
        if fault is not None:
            return self.misbehave(fault, b"")
        digest = parse_qs(urlsplit(self.path).query)["digest"][0]
        if "sha256:" + hashlib.sha256(upload).hexdigest() != digest:
            return self.answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
        self.registry.add(bytes(upload))
        return self.answer(201, b"")

    def session_url(self, repository: str, session: str) -> str:
        return f"http://{self.headers['Host']}/v2/{repository}/blobs/uploads/{session}?state={time.monotonic_ns()}"

    def is_refused(self, repository: str) -> bool:
        registry = self.registry
        wanted = {
            None: None,
            "token": f"Bearer {registry.token}",
            "basic": "Basic " + base64.b64encode(registry.password.encode()).decode(),
        }[registry.auth]
        if wanted is None or self.headers.get("Authorization") == wanted:
            return False
        realm = registry.realm or f"http://{self.headers['Host']}/token"
        scheme = "Basic" if registry.auth == "basic" else "Bearer"
        challenge = f'{scheme} realm="{realm}",service="toy",scope="repository:{repository}:pull,push"'
        self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": challenge})
        return True

    # -- answers

    def misbehave(self, fault: Fault, content: bytes) -> None:
        match fault:
            case Status(code, body, headers):
                return self.answer(code, body, headers)
            case Replace(other, headers):
                return self.answer(200, other, headers)
            case Redirect(location, code):
                return self.answer(code, b"", {"Location": location})
            case NoRange():
                return self.answer(200, content)
            case WrongRange(shift, lie):
                first, last = self.wanted_range(content) or (0, len(content) - 1)
                label = (first, last) if lie else (first + shift, last)
                return self.send_range(content, first + shift, last, label)
            case Stall(None):
                self.registry.stall()
                return self._reset()
            case Trickle(chunk_bytes, pause_s):
                return self.send_content(content, chunk_bytes=chunk_bytes, pause_s=pause_s)
            case Drop() if self.command not in ("GET", "HEAD"):
                return self._reset()
            case Drop(after_bytes) | Cut(after_bytes) | Stall(after_bytes):
                self.send_content(content, stop_after=after_bytes)
                if isinstance(fault, Stall):
                    self.registry.stall()
                return self._reset() if isinstance(fault, Drop) else self._close()
        raise AssertionError(f"no {fault} here")

    def wanted_range(self, content: bytes) -> tuple[int, int] | None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return (int(match[1]), min(int(match[2]), len(content) - 1)) if match else None

    def send_content(
        self, content: bytes, *, stop_after: int | None = None, chunk_bytes: int = CHUNK_BYTES, pause_s: float = 0.0
    ) -> None:
        wanted = self.wanted_range(content)
        if wanted is None:
            self.begin(200, {"Content-Length": str(len(content)), "ETag": '"v"'})
            first, last = 0, len(content) - 1
        else:
            first, last = wanted
            if first >= len(content):
                return self.answer(416, b"")
            span = f"bytes {first}-{last}/{len(content)}"
            self.begin(206, {"Content-Length": str(last - first + 1), "Content-Range": span, "ETag": '"v"'})
        end = last + 1 if stop_after is None else min(last + 1, first + stop_after)
        return self.send_body(memoryview(content)[first:end], chunk_bytes, pause_s)

    def send_range(self, content: bytes, first: int, last: int, label: tuple[int, int]) -> None:
        part = content[first : last + 1]
        span = f"bytes {label[0]}-{label[1]}/{len(content)}"
        self.begin(206, {"Content-Length": str(len(part)), "Content-Range": span})
        self.send_body(memoryview(part), CHUNK_BYTES, 0.0)

    def send_body(self, body: memoryview, chunk_bytes: int, pause_s: float) -> None:
        if self.command == "HEAD":
            return
        for start in range(0, len(body), chunk_bytes):
            chunk = body[start : start + chunk_bytes]
            self.wfile.write(chunk)
            self.registry.count(len(chunk))
            if pause := pause_s or self.registry.pause_s:
                time.sleep(pause)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        headers = headers or {}
        length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
        self.begin(status, {**length, **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _close(self) -> None:
        self.close_connection = True

    def _reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


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


_REPOSITORY = r"/v2/([^/]+/[^/]+)"
_ROUTES = (
    (r"/token", _Handler.token_endpoint),
    (_REPOSITORY + r"/manifests/([^/]+)", _Handler.manifest_endpoint),
    (_REPOSITORY + r"/blobs/uploads/", _Handler.begin_endpoint),
    (_REPOSITORY + r"/blobs/uploads/([0-9]+)", _Handler.session_endpoint),
    (_REPOSITORY + r"/blobs/(sha256:[0-9a-f]{64})", _Handler.blob_endpoint),
    (r"/storage/([0-9]+)/([0-9]+)", _Handler.storage_endpoint),
)
