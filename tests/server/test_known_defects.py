"""The published defects of the original, tried on a whole server, each with a canary beside the store.

The rules that stop them have their own, finer tests where they live; here it counts that nothing leads around them.
# Source: registry-store-cli 11.2, 11.3.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.gguf.values import TensorInfo, ValueType
from models.gguf.writer import encode_pair, encode_start, encode_tensor
from tests.fakes.generation import FakeGeneration
from tests.fakes.gguf_file import LLAMA, LLAMA_TENSORS, gguf_bytes, llama_bytes
from tests.fakes.live_server import LiveServer, Reply, fake_parts
from tests.fakes.registry import LAYER_TYPE, FakeRegistry

CANARY = b"nobody reads, writes or removes this"
TRAVERSAL = "sha256:../../../../canary"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """Its home has a canary beside it, which is the same when the test ends."""
    canary = tmp_path / "canary"
    canary.write_bytes(CANARY)
    home = tmp_path / "home"
    home.mkdir()
    with LiveServer(fake_parts(home, FakeGeneration())) as live:
        yield live
        assert live.get("/api/version").status == 200, "the server is still there"
    assert sorted(os.listdir(tmp_path)) == ["canary", "home"]
    assert canary.read_bytes() == CANARY


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


def upload(server: LiveServer, content: bytes) -> str:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    assert server.post(f"/api/blobs/{digest}", content).status in (200, 201)
    return digest


def create(server: LiveServer, files: dict[str, str], **fields: Any) -> Reply:
    return server.post("/api/create", {"model": "made", "files": files, "stream": False, **fields})


def models(server: LiveServer) -> list[str]:
    return [model["name"] for model in server.get("/api/tags").json["models"]]


def plant(server: LiveServer, layers: list[dict[str, Any]]) -> None:
    """A manifest as an attacker, or an older version, may have left it in the store."""
    path = server.parts.store.manifests.directory / "registry.ollama.ai" / "library" / "bad" / "latest"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))


# -- browsers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:11434", "localhost.evil.example"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/tags"), ("DELETE", "/api/delete"), ("POST", "/api/pull")])
def test_cve_2024_28224_another_sites_name_for_this_machine_is_refused(
    host: str, method: str, path: str, server: LiveServer
) -> None:
    assert server.request(method, path, {"model": "m"}, {"Host": host}).status == 403


# -- digests and names that are paths


@pytest.mark.parametrize("kind", ["model", "tensor", "template"])
def test_cve_2024_37032_and_2026_7020_a_pulled_digest_is_no_path(
    kind: str, registry: FakeRegistry, server: LiveServer
) -> None:
    layer = {"mediaType": LAYER_TYPE + kind, "digest": TRAVERSAL, "size": len(CANARY), "name": "../../canary"}
    name = registry.add_manifest("lib/m", [layer])
    reply = server.post("/api/pull", {"model": str(name), "insecure": True})
    assert "error" in reply.lines[-1] and models(server) == []
    assert [line for line in registry.lines() if "blobs" in line] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/push", {"model": "{host}/library/bad", "insecure": True}),
        ("/api/show", {"model": "bad"}),
        ("/api/generate", {"model": "bad", "prompt": "x"}),
        ("/api/create", {"model": "made", "from": "bad"}),
        ("/api/copy", {"source": "bad", "destination": "{host}/library/bad"}),
    ],
)
def test_cve_2024_37032_a_stored_digest_is_no_path_either(
    path: str, body: dict[str, Any], registry: FakeRegistry, server: LiveServer
) -> None:
    """The second half of the original's defect: what a manifest points to was read, and pushed."""
    plant(server, [{"mediaType": LAYER_TYPE + "template", "digest": TRAVERSAL, "size": len(CANARY)}])
    server.post("/api/copy", {"source": "bad", "destination": f"{registry.host}/library/bad"})
    filled = {k: v.format(host=registry.host) if isinstance(v, str) else v for k, v in body.items()}
    reply = server.post(path, filled)
    assert CANARY not in reply.body
    assert registry.uploads == {} and registry.manifests == {}


def test_cve_2024_37032_deleting_removes_nothing_outside(server: LiveServer) -> None:
    plant(server, [{"mediaType": LAYER_TYPE + "model", "digest": TRAVERSAL, "size": 1}])
    assert server.request("DELETE", "/api/delete", {"model": "bad"}).status == 200
    assert models(server) == []


@pytest.mark.parametrize("name", ["../../canary", "/canary", "a/../../canary", "./x", "..", "x/../../../canary.gguf"])
def test_cve_2024_45436_files_of_a_model_stay_where_they_are_put(name: str, server: LiveServer) -> None:
    digest = upload(server, llama_bytes())
    reply = create(server, {name: digest})
    assert (reply.status, reply.json) == (400, {"error": "file path must be relative"})
    create(server, {"m.gguf": digest}, adapters={name: digest})
    create(server, {"m.gguf": digest}, adapters={f"{name}.safetensors": digest})


def test_cve_2024_45436_an_archive_is_not_unpacked(server: LiveServer) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../../canary", b"overwritten")
        archive.writestr("/canary", b"overwritten")
    digest = upload(server, buffer.getvalue())
    for name in ("pytorch_model.bin", "m.gguf", "x/pytorch_model.bin"):
        assert create(server, {name: digest}).status in (400, 500)
    assert models(server) == []


@pytest.mark.parametrize("name", ["../../../../canary", "/etc/passwd", "a/b/c/../../canary", "canary\x00"])
def test_cve_2024_39719_and_39722_answers_do_not_tell_which_files_exist(name: str, server: LiveServer) -> None:
    for path, field in (
        ("/api/push", "model"),
        ("/api/create", "model"),
        ("/api/show", "model"),
        ("/api/pull", "model"),
    ):
        there = server.post(path, {field: name, "stream": False, "files": {}})
        missing = server.post(path, {field: f"{name}-missing", "stream": False, "files": {}})
        assert there.status == missing.status
        assert there.body.replace(b"-missing", b"") == missing.body.replace(b"-missing", b"")
    modelfile = server.post("/api/create", {"model": "made", "modelfile": f"FROM {name}", "stream": False})
    assert modelfile.status == 400 and CANARY not in modelfile.body


# -- files that lie


def lying_head(*pairs: bytes, n_tensors: int = 0, n_pairs: int | None = None, tensors: bytes = b"") -> bytes:
    return encode_start(n_tensors, len(pairs) if n_pairs is None else n_pairs) + b"".join(pairs) + tensors


KEY = struct.pack("<Q", 1) + b"k"
ARCHITECTURE = encode_pair("general.architecture", ValueType.STRING, "llama")
NO_ALIGNMENT = encode_pair("general.alignment", ValueType.UINT32, 0)
TENSOR = encode_tensor(TensorInfo("t", (32,), 0, 0))
LIES = {
    "CVE-2024-39720: four bytes": b"GGUF",
    "CVE-2024-39720: cut in its head": llama_bytes()[:200],
    "CVE-2025-0312: nothing but a head": lying_head(),
    "CVE-2025-0312: tensors without any metadata": gguf_bytes({}, LLAMA_TENSORS)[:-1],
    "CVE-2025-0315: 2^40 pairs": lying_head(ARCHITECTURE, n_pairs=2**40),
    "CVE-2025-0315: 2^40 tensors": lying_head(ARCHITECTURE, n_tensors=2**40),
    "CVE-2025-0315: a string of 2^40 bytes": lying_head(KEY + struct.pack("<IQ", 8, 2**40)),
    "CVE-2025-0315: an array of 2^26 strings": lying_head(KEY + struct.pack("<IIQ", 9, 8, 2**26)),
    "CVE-2025-0317: alignment 0": lying_head(ARCHITECTURE, NO_ALIGNMENT, n_tensors=1, tensors=TENSOR + bytes(256)),
    "CVE-2026-7482: data beyond the end": lying_head(ARCHITECTURE, n_tensors=1, tensors=TENSOR),
    "CVE-2026-7482: an offset beyond the end": lying_head(
        ARCHITECTURE, n_tensors=1, tensors=encode_tensor(TensorInfo("t", (32,), 0, 1 << 40)) + bytes(256)
    ),
    "CVE-2026-7482: a product that overflows": lying_head(
        ARCHITECTURE, n_tensors=1, tensors=encode_tensor(TensorInfo("t", (2**32, 2**32), 0, 0)) + bytes(256)
    ),
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("fields", [{}, {"quantize": "Q4_K_M"}], ids=["as it is", "quantized"])
def test_a_file_that_lies_makes_no_model(content: bytes, fields: dict[str, str], server: LiveServer) -> None:
    digest = upload(server, content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reply = create(server, {"m.gguf": digest}, **fields)
    if models(server):
        assert len(content) == len(lying_head()), "an empty file is a model of nothing, for the original as well"
    else:
        assert reply.status in (400, 500) and reply.json["error"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10, "KiB: no room for what is promised"


ZEROS = [
    "llama.block_count",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.embedding_length",
    "llama.context_length",
]


@pytest.mark.parametrize("key", ZEROS)
@pytest.mark.parametrize("value", [0, 2**32 - 1])
def test_cve_2024_8063_and_12055_numbers_to_divide_by_may_be_anything(key: str, value: int, server: LiveServer) -> None:
    """What is made of it may not run; to make, show and list it does no harm."""
    content = gguf_bytes(LLAMA | {key: (ValueType.UINT32, value)}, LLAMA_TENSORS)
    reply = create(server, {"m.gguf": upload(server, content)})
    assert reply.status in (200, 400, 500)
    if reply.status == 200:
        assert server.post("/api/show", {"model": "made", "verbose": True}).status == 200
        assert models(server) == ["made:latest"]


def test_cve_2026_7482_a_planted_file_that_lies_is_not_pushed_on(server: LiveServer) -> None:
    """Neither shown nor copied into another file: nothing that lay behind it in memory gets into a model."""
    content = LIES["CVE-2026-7482: data beyond the end"]
    digest = upload(server, content)
    plant(server, [{"mediaType": LAYER_TYPE + "model", "digest": digest, "size": len(content)}])
    assert server.post("/api/show", {"model": "bad"}).status >= 400
    assert server.post("/api/create", {"model": "made", "from": "bad", "stream": False}).status >= 400
    assert "made:latest" not in models(server)


def test_a_safetensors_header_of_any_length_is_not_believed(server: LiveServer) -> None:
    config = upload(server, b'{"architectures":["LlamaForCausalLM"]}')
    for length in (2**63 - 1, 2**64 - 1, 2**40, 0):
        digest = upload(server, struct.pack("<Q", length) + b"{}")
        reply = create(server, {"model.safetensors": digest, "config.json": config})
        assert reply.status in (400, 500) and reply.json["error"]
    assert models(server) == []


# -- registries that lie


@pytest.mark.parametrize(
    "layers",
    [
        [{}],
        [{"digest": ""}],
        [None],
        [{"digest": None}],
        [{"digest": 5}],
        [{"digest": "sha256:"}],
        {"digest": "x"},
        "x",
    ],
    ids=str,
)
def test_cve_2025_1975_a_layer_without_a_digest_ends_the_pull_alone(
    layers: Any, registry: FakeRegistry, server: LiveServer
) -> None:
    raw = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
    name = registry.add_raw("lib/m", raw)
    reply = server.post("/api/pull", {"model": str(name), "insecure": True})
    assert "error" in reply.lines[-1] and models(server) == []


def test_cve_2025_51471_a_foreign_realm_hears_nothing(registry: FakeRegistry, server: LiveServer) -> None:
    with FakeRegistry() as thief:
        registry.auth, registry.realm = "token", f"http://{thief.host}/token"
        name = registry.add_model("lib/m", {"model": b"x"})
        reply = server.post("/api/pull", {"model": str(name), "insecure": True})
        assert reply.lines[-1]["error"].endswith(
            f'realm host "{thief.host}" does not match original host "{registry.host}"'
        )
        assert thief.requests == []


def test_cve_2024_12886_what_unpacks_to_any_size_is_not_unpacked(registry: FakeRegistry, server: LiveServer) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in ("/api/generate", "/api/pull", "/v1/chat/completions", "/v1/messages"):
        assert server.post(path, bomb, {"Content-Encoding": "gzip"}).status >= 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10, "KiB"
