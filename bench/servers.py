"""The two servers behind one interface, asked for the same work with the same sampling."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import peer
from bench.load import Exchange, LoadFailed
from tools.server_process import ServerProcess, clean_environment, free_port, puna_server

SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0}  # both know these names
NO_PENALTIES = {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


@dataclass(frozen=True)
class Ask:
    """One request: raw text in, exactly `n_predict` tokens out."""

    prompt: str
    n_predict: int
    seed: int


@dataclass(frozen=True)
class Usage:
    n_prompt: int
    n_predicted: int


class Contender(Protocol):
    """A running server with the model loaded."""

    name: str
    process: ServerProcess
    path: str

    def body(self, ask: Ask) -> bytes: ...

    def usage(self, exchange: Exchange) -> Usage:
        """What the server says it computed. Raises: LoadFailed when it stopped before the limit."""
        ...


class Puna:
    name = "puna"
    path = "/api/generate"

    def __init__(self, folder: Path, model: Path, *, n_parallel: int, n_ctx: int) -> None:
        self._n_ctx = n_ctx
        settings = {"OLLAMA_NUM_PARALLEL": str(n_parallel), "OLLAMA_KEEP_ALIVE": "-1"}
        self.process = puna_server(folder, settings=settings).start()
        self._create(model)

    def body(self, ask: Ask) -> bytes:
        options = SAMPLING | NO_PENALTIES | {"num_predict": ask.n_predict, "seed": ask.seed, "num_ctx": self._n_ctx}
        return json.dumps({"model": "bench", "prompt": ask.prompt, "raw": True, "options": options}).encode()

    def usage(self, exchange: Exchange) -> Usage:
        last = json.loads(exchange.body.splitlines()[-1])
        if last.get("done_reason") != "length":
            raise LoadFailed(f"puna: {last}")
        return Usage(last["prompt_eval_count"], last["eval_count"])

    def _create(self, model: Path) -> None:
        digest = f"sha256:{_sha256(model)}"
        self._post(f"/api/blobs/{digest}", model.read_bytes())
        create = {"model": "bench", "files": {model.name: digest}, "stream": False}
        self._post("/api/create", json.dumps(create).encode())

    def _post(self, path: str, body: bytes) -> None:
        request = urllib.request.Request(self.process.url + path, data=body, method="POST")
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()


class LlamaServer:
    name = "llama-server"
    path = "/completion"

    def __init__(self, folder: Path, model: Path, *, n_parallel: int, n_ctx: int) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(peer.build()), "-m", str(model), "--host", "127.0.0.1", "--port", str(port)]
        command += ["-np", str(n_parallel), "-c", str(n_ctx * n_parallel), "--no-webui"]
        self.process = ServerProcess(
            command, port=port, env=clean_environment(), log=folder / "llama-server.log", ready_path="/health"
        ).start()

    def body(self, ask: Ask) -> bytes:
        options: dict[str, Any] = SAMPLING | NO_PENALTIES | {"n_predict": ask.n_predict, "seed": ask.seed}
        return json.dumps({"prompt": ask.prompt, "stream": True, **options}).encode()

    def usage(self, exchange: Exchange) -> Usage:
        last = json.loads(exchange.body.strip().rpartition(b"\n\n")[2].removeprefix(b"data: "))
        if last.get("stop_type") != "limit":
            raise LoadFailed(f"llama-server: {last}")
        return Usage(last["tokens_evaluated"], last["tokens_predicted"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
