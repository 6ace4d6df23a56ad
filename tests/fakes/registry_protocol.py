"""The endpoints of a model registry, over the content of a FakeRegistry."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.fakes.faulty_http import Drop, FaultyHandler, NoLength

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
OTHER_HOST = "localhost"
"""The same server under another host name: blobs are redirected there."""


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


class RegistryHandler(FaultyHandler):
    """What a registry answers; which faults come is for `registry` to say."""

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
            self.reset()
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


_REPOSITORY = r"/v2/([^/]+/[^/]+)"
_ROUTES = (
    (r"/token", RegistryHandler.token_endpoint),
    (_REPOSITORY + r"/manifests/([^/]+)", RegistryHandler.manifest_endpoint),
    (_REPOSITORY + r"/blobs/uploads/", RegistryHandler.begin_endpoint),
    (_REPOSITORY + r"/blobs/uploads/([0-9]+)", RegistryHandler.session_endpoint),
    (_REPOSITORY + r"/blobs/(sha256:[0-9a-f]{64})", RegistryHandler.blob_endpoint),
    (r"/storage/([0-9]+)/([0-9]+)", RegistryHandler.storage_endpoint),
)
