"""A Hugging Face Hub in process, on a free loopback port, that misbehaves on demand.

It speaks what `huggingface_hub` asks of one: listings in pages, files by revision, large ones redirected to a storage
under another host name. Each request of a kind ("tree", "head", "file", "storage") takes the next fault listed for it.

    with FakeHub() as hub:
        hub.add("u/r", {"m-Q4_K_M.gguf": b"weights", "template": b"{{ .Prompt }}"})
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.faulty_http import Cut, Redirect, Replace, Status
from tests.fakes.registry_protocol import OTHER_HOST

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Fault = Status | Cut | Replace | Redirect


class FakeHub:
    """`repositories` has files by repository and revision; those in `gated` need the token, in `private` to be seen."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = defaultdict(dict)
        self.faults: defaultdict[str, list[Fault | None]] = defaultdict(list)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.token = "hf_secret"
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.page_size = 3
        self.small_bytes = 100
        """Larger files, and all GGUF files, lie in the storage."""
        self.sent_bytes = 0

    def __enter__(self) -> Self:
        class Handler(_Handler):
            hub: FakeHub = self

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, repository: str, files: Mapping[str, bytes], revision: str = "main") -> None:
        self.repositories[repository][revision] = dict(files)

    def is_large(self, path: str, content: bytes) -> bool:
        return path.endswith(".gguf") or len(content) > self.small_bytes

    def lines(self, kind: str = "") -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.requests if kind in path]

    def take_fault(self, kind: str) -> Fault | None:
        faults = self.faults[kind]
        return faults.pop(0) if faults else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that drops its connection is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.hub.requests.append((self.command, unquote(parts.path), dict(self.headers)))
        if self.headers["Host"].startswith(OTHER_HOST):
            return self._storage(parts.path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", parts.path):
            return self._tree(match[1], unquote(match[2]), parse_qs(parts.query))
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", parts.path):
            return self._file(match[1], unquote(match[2]), unquote(match[3]))
        return self._answer(404, b"{}")

    do_HEAD = do_GET

    def _files(self, repository: str, revision: str, *, is_content: bool) -> dict[str, bytes] | None:
        """None after a refusal."""
        hub, identity = self.hub, self.headers.get("Authorization")
        if identity not in (None, f"Bearer {hub.token}"):
            self._refuse(401, "", "Invalid credentials in Authorization header")
            return None
        is_known = identity is not None
        if repository not in hub.repositories or (repository in hub.private and not is_known):
            self._refuse(404 if is_known else 401, "RepoNotFound" if is_known else "")
            return None
        if revision not in hub.repositories[repository]:
            self._refuse(404, "RevisionNotFound")
            return None
        if is_content and repository in hub.gated and not is_known:
            self._refuse(401, "GatedRepo")
            return None
        return hub.repositories[repository][revision]

    def _tree(self, repository: str, revision: str, query: dict[str, list[str]]) -> None:
        fault = self.hub.take_fault("tree")
        if fault is not None:
            return self._misbehave(fault, b"")
        files = self._files(repository, revision, is_content=False)
        if files is None:
            return None
        start = int(query.get("cursor", ["0"])[0])
        stop = start + self.hub.page_size
        entries = [self._entry(path, content) for path, content in list(files.items())[start:stop]]
        headers = {}
        if stop < len(files):
            url = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive=True&expand=False&cursor={stop}"
            headers["Link"] = f'<{url}>; rel="next"'
        return self._answer(200, json.dumps(entries).encode(), headers)

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": oid}
        if self.hub.is_large(path, content):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return entry

    def _file(self, repository: str, revision: str, path: str) -> None:
        fault = self.hub.take_fault("head" if self.command == "HEAD" else "file")
        files = self._files(repository, revision, is_content=True)
        if files is None:
            return None
        content = files.get(path)
        if fault is not None:
            return self._misbehave(fault, content or b"")
        if content is None:
            return self._refuse(404, "EntryNotFound")
        if not self.hub.is_large(path, content):
            return self._answer(200, content, {"ETag": f'"{self._entry(path, content)["oid"]}"'})
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "Location": f"http://{OTHER_HOST}:{self.hub.port}/storage/{repository}/{digest}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
        }
        return self._answer(302, b"", headers)

    def _storage(self, path: str) -> None:
        contents = {
            hashlib.sha256(content).hexdigest(): content
            for revisions in self.hub.repositories.values()
            for files in revisions.values()
            for content in files.values()
        }
        content = contents[path.rpartition("/")[2]]
        fault = self.hub.take_fault("storage")
        if isinstance(fault, Replace):
            content = fault.content
        elif isinstance(fault, Status | Redirect):
            return self._misbehave(fault, b"")
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(match[1]), int(match[2])) if match else (0, len(content) - 1)
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"} if match else {}
        cut = fault.after_bytes if isinstance(fault, Cut) else None
        return self._answer(206 if match else 200, content[first : last + 1], headers, cut)

    # -- answers

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self._answer(status, b'{"error":"no"}', {"X-Error-Code": code, "X-Error-Message": message or "no"})

    def _misbehave(self, fault: Fault, content: bytes) -> None:
        match fault:
            case Status(code, body, headers):
                self._answer(code, body, dict(headers))
            case Redirect(location, code):
                self._answer(code, b"", {"Location": location})
            case Replace(other, headers):
                self._answer(200, other, dict(headers))
            case Cut(after_bytes):
                self._answer(200, content, {}, after_bytes)

    def _answer(
        self, status: int, content: bytes, headers: Mapping[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            sent = content if cut is None else content[:cut]
            self.wfile.write(sent)
            self.hub.sent_bytes += len(sent)
            if cut is not None:
                self.close_connection = True
