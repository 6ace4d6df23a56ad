"""The two servers behind one interface, asked for the same work with the same sampling."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import psutil

from bench.load import Exchange, LoadFailed
from tools.server_process import ServerProcess, clean_environment, free_port, puna_server

SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0}  # both know these names
WHOLE_VOCABULARY = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
ALL_LAYERS = 999  # more than any model has
NO_PENALTIES = {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}

SCHEMA = {
    "type": "array",
    "minItems": 40,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "role": {"enum": ["reader", "writer", "owner"]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3},
        },
        "required": ["name", "age", "role", "tags"],
        "additionalProperties": False,
    },
}
"""More items than a round has tokens for: the reply ends at its limit."""


@dataclass(frozen=True)
class Ask:
    """One request: raw text in, exactly `n_predict` tokens out (with a schema: at most)."""

    prompt: str
    n_predict: int
    seed: int
    has_schema: bool = False
    is_unrestricted: bool = False

    @property
    def sampling(self) -> dict[str, float]:
        return WHOLE_VOCABULARY if self.is_unrestricted else SAMPLING


@dataclass(frozen=True)
class Usage:
    n_prompt: int
    n_predicted: int


@dataclass(frozen=True)
class Loading:
    """How a server shall load the model; `n_ctx` tokens for each of `n_parallel` requests at a time."""

    n_parallel: int
    n_ctx: int
    n_threads: int | None = None
    """None: what the server takes by itself."""
    embeds: bool = False
    on_gpu: bool = False

    @property
    def n_gpu_layers(self) -> int:
        return ALL_LAYERS if self.on_gpu else 0


class Contender(Protocol):
    """A running server with the model loaded."""

    name: str
    process: ServerProcess
    path: str
    embed_path: str
    weights_bytes: int

    @property
    def compute_pid(self) -> int:
        """The process that holds the model."""
        ...

    def body(self, ask: Ask) -> bytes: ...

    def text(self, exchange: Exchange) -> str: ...

    def embed_body(self, inputs: list[str]) -> bytes: ...

    def n_vectors(self, exchange: Exchange) -> int: ...

    def usage(self, exchange: Exchange) -> Usage:
        """What the server says it computed. Raises: LoadFailed when it stopped before the limit."""
        ...


class Puna:
    name = "puna"
    path = "/api/generate"
    embed_path = "/api/embed"

    def __init__(self, folder: Path, model: Path, loading: Loading) -> None:
        self._load_options = {"num_ctx": loading.n_ctx, "num_gpu": loading.n_gpu_layers}
        if loading.n_threads:
            self._load_options["num_thread"] = loading.n_threads
        self.weights_bytes = model.stat().st_size
        settings = {"OLLAMA_NUM_PARALLEL": str(loading.n_parallel), "OLLAMA_KEEP_ALIVE": "-1"}
        self.process = puna_server(folder, settings=settings).start()
        try:
            self._create(model)
        except BaseException:
            self.process.stop()
            raise

    @property
    def compute_pid(self) -> int:
        (runner,) = psutil.Process(self.process.pid).children()
        return runner.pid

    def body(self, ask: Ask) -> bytes:
        options = ask.sampling | NO_PENALTIES | {"num_predict": ask.n_predict, "seed": ask.seed} | self._load_options
        body: dict[str, Any] = {"model": "bench", "prompt": ask.prompt, "raw": True, "options": options}
        if ask.has_schema:
            body["format"] = SCHEMA
        return json.dumps(body).encode()

    def usage(self, exchange: Exchange) -> Usage:
        last = json.loads(exchange.body.splitlines()[-1])
        if not last.get("done_reason"):
            raise LoadFailed(f"puna: {last}")
        return Usage(last["prompt_eval_count"], last["eval_count"])

    def text(self, exchange: Exchange) -> str:
        return "".join(json.loads(line)["response"] for line in exchange.body.splitlines())

    def embed_body(self, inputs: list[str]) -> bytes:
        return json.dumps({"model": "bench", "input": inputs, "options": self._load_options}).encode()

    def n_vectors(self, exchange: Exchange) -> int:
        return len(json.loads(exchange.body)["embeddings"])

    def _create(self, model: Path) -> None:
        """The file is sent in parts: it may be larger than memory likes."""
        digest = f"sha256:{_sha256(model)}"
        with model.open("rb") as file:
            self._post(f"/api/blobs/{digest}", file, {"Content-Length": str(self.weights_bytes)})
        create = {"model": "bench", "files": {model.name: digest}, "stream": False}
        self._post("/api/create", json.dumps(create).encode())

    def _post(self, path: str, body: bytes | BinaryIO, headers: dict[str, str] | None = None) -> None:
        request = urllib.request.Request(self.process.url + path, data=body, method="POST", headers=headers or {})
        with urllib.request.urlopen(request, timeout=600) as answer:
            answer.read()


class LlamaServer:
    """With its own defaults, which are good: flash attention, prompt cache in host memory, threads by cores."""

    name = "llama-server"
    path = "/completion"
    embed_path = "/v1/embeddings"

    def __init__(self, folder: Path, model: Path, loading: Loading, server: Path) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.weights_bytes = model.stat().st_size
        command = llama_server_command(server, model, loading, port)
        self.process = ServerProcess(
            command, port=port, env=clean_environment(), log=folder / "llama-server.log", ready_path="/health"
        ).start()

    @property
    def compute_pid(self) -> int:
        return self.process.pid

    def body(self, ask: Ask) -> bytes:
        options: dict[str, Any] = ask.sampling | NO_PENALTIES | {"n_predict": ask.n_predict, "seed": ask.seed}
        if ask.has_schema:
            options["json_schema"] = SCHEMA
        return json.dumps({"prompt": ask.prompt, "stream": True, **options}).encode()

    def usage(self, exchange: Exchange) -> Usage:
        last = self._events(exchange)[-1]
        if not last.get("stop_type") or last["stop_type"] == "none":
            raise LoadFailed(f"llama-server: {last}")
        return Usage(last["tokens_evaluated"], last["tokens_predicted"])

    def text(self, exchange: Exchange) -> str:
        return "".join(event["content"] for event in self._events(exchange))

    def embed_body(self, inputs: list[str]) -> bytes:
        return json.dumps({"input": inputs}).encode()

    def n_vectors(self, exchange: Exchange) -> int:
        return len(json.loads(exchange.body)["data"])

    def _events(self, exchange: Exchange) -> list[dict[str, Any]]:
        records = exchange.body.strip().split(b"\n\n")
        return [json.loads(record.removeprefix(b"data: ")) for record in records]


def llama_server_command(server: Path, model: Path, loading: Loading, port: int) -> list[str]:
    """As many slots as requests come at a time, each with a context of its own."""
    n_cells = loading.n_ctx * loading.n_parallel
    command = [str(server), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
    command += ["-np", str(loading.n_parallel), "-c", str(n_cells), "-ngl", str(loading.n_gpu_layers)]
    command += ["-t", str(loading.n_threads)] if loading.n_threads else []
    command += ["--embeddings"] if loading.embeds else []
    return command


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
