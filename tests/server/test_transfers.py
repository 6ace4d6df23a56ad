"""Pull, push and create over HTTP, with a registry in the test's process."""

from __future__ import annotations

import dataclasses
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.hub.source import HubSettings
from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from server.transfers import Transfers
from tests.fakes.faulty_http import Status, Trickle
from tests.fakes.generation import FakeGeneration
from tests.fakes.gguf_file import llama_bytes
from tests.fakes.hub import FakeHub
from tests.fakes.live_server import LiveServer, fake_parts
from tests.fakes.registry import FakeRegistry
from tests.fakes.waiting import eventually

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(tmp_path, FakeGeneration())) as live:
        yield live


def pull_body(name: ModelName, **fields: Any) -> dict[str, Any]:
    return {"model": str(name), "insecure": True, **fields}


def blobs(server: LiveServer) -> list[Path]:
    directory = server.parts.store.blobs.directory
    return list(directory.iterdir()) if directory.exists() else []


def test_a_pull_is_a_stream_of_steps(registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.add_model("lib/m", {"model": CONTENT})
    reply = server.post("/api/pull", pull_body(name))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    assert [line["status"] for line in (reply.lines[0], *reply.lines[-3:])] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    steps = [line for line in reply.lines if "digest" in line]
    assert list(steps[-1]) == ["status", "digest", "total", "completed"]
    assert server.parts.store.manifests.load(name).raw == registry.manifests["lib/m:latest"]


def test_the_stored_spelling_is_asked_for(registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.add_model("lib/Some-Model", {"model": CONTENT})
    server.post("/api/pull", pull_body(name))
    registry.requests.clear()
    server.post("/api/pull", {"model": f"{registry.host}/LIB/some-model", "insecure": True})
    assert registry.lines("GET")[0] == "GET /v2/lib/Some-Model/manifests/latest"


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_is_in_the_stream_or_the_answer(stream: bool, registry: FakeRegistry, server: LiveServer) -> None:
    reply = server.post("/api/pull", pull_body(registry.name("lib/none"), stream=stream))
    error = {"error": "pull model manifest: file does not exist"}
    if stream:
        assert (reply.status, reply.lines) == (200, [{"status": "pulling manifest"}, error])
    else:
        assert (reply.status, reply.json) == (500, error)


def test_corrupt_content_is_the_registrys_fault(registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.add_model("lib/m", {"model": CONTENT})
    registry.blobs[registry.add(CONTENT)] = CONTENT[::-1]
    reply = server.post("/api/pull", pull_body(name, stream=False))
    assert reply.status == 500
    assert reply.json["error"].startswith("digest mismatch, file must be downloaded again: want sha256:")


def test_without_insecure_a_registry_is_asked_over_tls(registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.add_model("lib/m", {})
    error = server.post("/api/pull", {"name": str(name)}).lines[-1]["error"]
    assert error.startswith(f'pull model manifest: Get "https://{registry.host}/v2/lib/m/manifests/latest": tls: ')
    assert registry.requests == []


@pytest.mark.parametrize(("typed", "tag"), [("m:cloud", "cloud"), ("m:7b-cloud", "7b-cloud"), ("m:7b:local", "7b")])
def test_the_source_of_a_name_becomes_its_tag(typed: str, tag: str, registry: FakeRegistry, server: LiveServer) -> None:
    server.post("/api/pull", {"model": f"{registry.host}/lib/{typed}", "insecure": True})
    assert registry.lines() == [f"GET /v2/lib/m/manifests/{tag}"]


def test_a_client_that_leaves_ends_the_download(registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.add_model("lib/m", {"model": CONTENT})
    registry.faults["blob"] = [Trickle(50, 0.005)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/api/pull", json.dumps(pull_body(name)))
    answer = connection.getresponse()
    while json.loads(answer.readline()).get("completed", 0) == 0:
        pass
    connection.sock.close()
    answer.close()
    connection.close()
    lease_files = server.parts.store.root / ".puna" / "leases"
    assert eventually(lambda: not any(lease_files.iterdir()))
    sent = registry.sent_bytes
    assert sent < len(CONTENT)
    assert any(path.name.endswith("-partial-0") for path in blobs(server))
    assert server.post("/api/pull", pull_body(name)).lines[-1] == {"status": "success"}
    assert registry.sent_bytes < 2 * len(CONTENT) - 50


def test_two_clients_share_a_download(registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.add_manifest("lib/m", [registry.layer("model", CONTENT)], config=None)
    registry.faults["blob"] = [Trickle(100, 0.002)]
    replies: list[list[dict[str, Any]]] = []

    def pull() -> None:
        replies.append(server.post("/api/pull", pull_body(name)).lines)

    clients = [threading.Thread(target=pull) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert [lines[-1] for lines in replies] == [{"status": "success"}] * 2
    assert all(any(0 < line.get("completed", 0) < len(CONTENT) for line in lines) for lines in replies)
    assert registry.sent_bytes == len(CONTENT)


def test_a_push_is_a_stream_of_steps(registry: FakeRegistry, server: LiveServer) -> None:
    store = server.parts.store
    digest, _ = store.blobs.put_bytes(CONTENT)
    name = registry.name("lib/mine", "v1")
    store.write_model(name, Manifest(None, (Layer(MediaType.MODEL, digest, len(CONTENT)),)))
    lines = server.post("/api/push", pull_body(name)).lines
    assert [line["status"] for line in lines if "digest" not in line] == [
        "retrieving manifest",
        "pushing manifest",
        "success",
    ]
    assert registry.blobs[str(digest)] == CONTENT


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_here_cannot_be_pushed(stream: bool, registry: FakeRegistry, server: LiveServer) -> None:
    name = registry.name("lib/none")
    reply = server.post("/api/push", pull_body(name, stream=stream))
    path = server.parts.store.manifests.directory / name.path
    error = {"error": f"open {path}: no such file or directory"}
    if stream:
        statuses = [{"status": "retrieving manifest"}, {"status": "couldn't retrieve manifest"}]
        assert (reply.status, reply.lines) == (200, [*statuses, error])
    else:
        assert (reply.status, reply.json) == (500, error)
    assert registry.requests == []


def test_an_invalid_name_is_found_by_the_push(server: LiveServer) -> None:
    assert server.post("/api/push", {"model": "a b"}).lines[-1] == {
        "error": "unqualified name: registry.ollama.ai/library/a b:latest"
    }


def test_a_refused_push_says_so(registry: FakeRegistry, server: LiveServer) -> None:
    store = server.parts.store
    name = registry.name("lib/mine")
    store.write_model(name, Manifest(None, ()))
    registry.faults["manifest"] = [Status(401), Status(401)]
    assert server.post("/api/push", pull_body(name)).lines[-1] == {"error": "unauthorized: access denied"}


def test_creating_from_a_model_that_is_not_here_pulls_it(registry: FakeRegistry, server: LiveServer) -> None:
    """Over TLS, because a create cannot say that it need not be: which shows that the registry was asked."""
    name = registry.name("lib/base")
    lines = server.post("/api/create", {"model": "mine", "from": str(name)}).lines
    assert {"status": "pulling manifest"} in lines
    assert lines[-1]["error"].startswith('pull model manifest: Get "https://127.0.0.1:')


def test_a_server_starts_without_what_only_transfers_need() -> None:
    code = "import sys, server.app; print([m for m in ('httpx', 'cryptography', 'ssl') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "httpx" not in output
    assert "cryptography" not in output


def test_a_model_of_the_hub_comes_over_http_too(tmp_path: Path) -> None:
    with FakeHub() as hub:
        hub.add("u/r", {"m-Q4_K_M.gguf": llama_bytes()})
        parts = fake_parts(tmp_path, FakeGeneration())
        settings = HubSettings(hub.endpoint, has_registry=False)
        transfers = Transfers(parts.store, parts.library, parts.builtin, home=tmp_path, hub=settings)
        with LiveServer(dataclasses.replace(parts, transfers=transfers)) as server:
            reply = server.post("/api/pull", {"model": "hf.co/u/r:q4_k_m@main"})
            assert reply.lines[-1] == {"status": "success"}
            names = [model["name"] for model in server.get("/api/tags").json["models"]]
            assert names == ["hf.co/u/r:q4_k_m--main"]
            assert server.post("/api/show", {"model": "hf.co/u/r:q4_k_m@main"}).status == 200
            made = server.post("/api/create", {"model": "mine", "from": "hf.co/u/r", "system": "Be kind."})
            assert made.lines[-1] == {"status": "success"}
            missing = server.post("/api/pull", {"model": "hf.co/u/none", "stream": False})
            assert (missing.status, "HF_TOKEN" in missing.json["error"]) == (500, True)
