#!/usr/bin/env python3
"""What the benchmarks use of llama-server: as many tokens as are asked for, whatever the prompt; vectors of nothing.

A program of its own: it is started with llama-server's arguments.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # an answer ends with its connection: the client asks for that

    def do_GET(self) -> None:
        self._answer(b'{"status":"ok"}', "application/json")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/embeddings":
            vectors = [{"embedding": [1.0], "index": i} for i in range(len(asked["input"]))]
            self._answer(json.dumps({"data": vectors}).encode(), "application/json")
        else:
            self._answer(b"".join(map(_event, _reply(asked))), "text/event-stream")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the log of the real one is not read, either."""


def _reply(asked: dict[str, Any]) -> list[dict[str, Any]]:
    n = asked["n_predict"]
    last = {"content": "", "stop": True, "stop_type": "limit", "tokens_predicted": n}
    pieces: list[dict[str, Any]] = [{"content": "word ", "stop": False}] * n
    return [*pieces, last | {"tokens_evaluated": len(asked["prompt"])}]


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    args, _ = parser.parse_known_args()
    ThreadingHTTPServer(("127.0.0.1", args.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
