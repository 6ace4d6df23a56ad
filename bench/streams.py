"""How many streamed chunks the server passes on in a second, from a scripted engine to 64 clients at once.

    python -m bench.streams [--rounds 5] [--chunks 400] [--path /v1/chat/completions]

The clients' share of the cores is not the server's: beside the rate stands what the server alone needs for a chunk,
in processor time, and the rate that this allows it. Exit status 1 when that is below the goal.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.load import post_all
from bench.scripted import PIECE, STEP
from tests.conformance.make_models import make
from tools.server_process import ServerProcess, clean_environment, free_port

GOAL_CHUNKS_PER_S = 20_000
MODEL = "scripted"
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/chat", "/api/generate")


@dataclass(frozen=True)
class Round:
    n_chunks: int
    duration_s: float
    server_cpu_s: float

    @property
    def chunks_per_s(self) -> float:
        return self.n_chunks / self.duration_s

    @property
    def cpu_us(self) -> float:
        """Of the server process, for one chunk, its share of the request included."""
        return self.server_cpu_s / self.n_chunks * 1e6


def body_of(path: str, n_chunks: int) -> bytes:
    said = [{"role": "user", "content": "go"}]
    asked: dict[str, dict[str, object]] = {
        "/v1/chat/completions": {"messages": said, "max_tokens": n_chunks},
        "/v1/completions": {"prompt": "go", "max_tokens": n_chunks},
        "/v1/responses": {"input": "go", "max_output_tokens": n_chunks},
        "/v1/messages": {"messages": said, "max_tokens": n_chunks},
        "/api/chat": {"messages": said, "options": {"num_predict": n_chunks}},
        "/api/generate": {"prompt": "go", "raw": True, "options": {"num_predict": n_chunks}},
    }
    return json.dumps({"model": MODEL, "stream": True} | asked[path]).encode()


def run_round(server: ServerProcess, path: str, n_chunks: int) -> Round:
    watched = psutil.Process(server.pid)
    before = watched.cpu_times()
    exchanges = asyncio.run(post_all(server.url, path, [body_of(path, n_chunks)] * STEP))
    after = watched.cpu_times()
    n_received = sum(exchange.body.count(b'"' + PIECE.encode()) for exchange in exchanges)
    assert n_received >= STEP * n_chunks, f"{n_received} chunks came: some were joined"
    cpu_s = after.user + after.system - before.user - before.system
    return Round(STEP * n_chunks, max(exchange.last_byte_s for exchange in exchanges), cpu_s)


def scripted_server(folder: Path) -> ServerProcess:
    port = free_port()
    env = clean_environment() | {
        "HOME": str(folder),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NUM_PARALLEL": str(STEP),
        "PUNA_BUILTIN": "0",
    }
    command = (sys.executable, "-m", "bench.scripted")
    return ServerProcess(command, port=port, env=env, log=folder / "server.log", ready_path="/api/version")


def create_model(server: ServerProcess, file: Path) -> None:
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    _post(f"{server.url}/api/blobs/{digest}", file.read_bytes())
    _post(f"{server.url}/api/create", json.dumps({"model": MODEL, "files": {file.name: digest}}).encode())


def _post(url: str, body: bytes) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")) as answer:
        answer.read()


def main(argv: list[str]) -> int:
    p = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--chunks", type=int, default=400, help="of each stream; more than 512 may be joined")
    p.add_argument("--path", action="append", choices=PATHS, help="default: all")
    args = p.parse_args(argv)
    is_slow = False
    with tempfile.TemporaryDirectory() as folder, scripted_server(Path(folder)) as server:
        create_model(server, make("chatml", Path(folder)))
        for path in args.path or PATHS:
            rounds = [run_round(server, path, args.chunks) for _ in range(args.rounds + 1)][1:]
            rate, cpu_us = statistics.median(r.chunks_per_s for r in rounds), min(r.cpu_us for r in rounds)
            print(f"{path:22} {rate:8,.0f} chunks/s measured, {cpu_us:6.1f} µs each: {1e6 / cpu_us:8,.0f} chunks/s")
            is_slow |= 1e6 / cpu_us < GOAL_CHUNKS_PER_S
    return int(is_slow)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
