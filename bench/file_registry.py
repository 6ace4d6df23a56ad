"""A registry of one model in a process of its own, as cheap as one can be: the kernel sends the file.

    python -m bench.file_registry FILE [--rate BYTES_PER_S]

prints the port. GET /sent answers how many bytes of the blob were sent so far.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHUNK_BYTES = 256 << 10


class FileRegistry(ThreadingHTTPServer):
    """Serves `lib/m:latest`, whose only layer is the file. `rate` bounds all connections together, in bytes/s."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path, rate: float | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.file = path.open("rb")
        self.size_bytes = path.stat().st_size
        self.sent_bytes = 0
        digest = f"sha256:{hashlib.file_digest(self.file, 'sha256').hexdigest()}"
        layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": self.size_bytes}
        self.manifest = json.dumps({"schemaVersion": 2, "layers": [layer]}).encode()
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def count(self, n_bytes: int) -> None:
        """Note what was sent, and wait until the rate allows more."""
        with self._lock:
            self.sent_bytes += n_bytes
            if self._rate is None:
                return
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + n_bytes / self._rate
            pause_s = self._free_at - now
        time.sleep(pause_s)

    def handle_error(self, *_: object) -> None:
        """A client that is killed is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    server: FileRegistry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        if self.path == "/sent":
            return self._answer(str(self.server.sent_bytes).encode())
        if "/manifests/" in self.path:
            return self._answer(self.server.manifest)
        size = self.server.size_bytes
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last + 1 - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if self.command == "GET":
            self._send(first, last + 1)

    do_HEAD = do_GET

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send(self, position: int, end: int) -> None:
        while position < end:
            n_sent = os.sendfile(
                self.connection.fileno(), self.server.file.fileno(), position, min(CHUNK_BYTES, end - position)
            )
            position += n_sent
            self.server.count(n_sent)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.file_registry", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float)
    args = parser.parse_args(argv)
    server = FileRegistry(args.file, args.rate)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
