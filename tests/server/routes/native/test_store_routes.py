"""List, show, copy, delete, blobs, create and transfers over a real store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.names import ModelName
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, Reply, fake_parts
from tests.fakes.waiting import eventually

MISSING = "a" * 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[[str], Path]) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), FakeGeneration())) as running:
        digest = upload(running, tiny_model("bare").read_bytes())
        body = {"model": "base", "files": {"bare.gguf": digest}, "stream": False}
        assert running.post("/api/create", body).json == {"status": "success"}
        yield running


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def upload(server: LiveServer, content: bytes) -> str:
    digest = digest_of(content)
    assert server.post(f"/api/blobs/{digest}", content).status in (200, 201)
    return digest


def names(server: LiveServer) -> set[str]:
    return {model["name"] for model in server.get("/api/tags").json["models"]}


def error_of(reply: Reply) -> tuple[int, str]:
    assert list(reply.json) == ["error"]
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    return reply.status, reply.json["error"]


# ---- models --------------------------------------------------------------------------------------------------------


def test_a_model_is_listed_with_its_details(server: LiveServer) -> None:
    entry = next(model for model in server.get("/api/tags").json["models"] if model["name"] == "base:latest")
    assert list(entry) == ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]
    assert (entry["model"], len(entry["digest"]), entry["details"]["family"]) == ("base:latest", 64, "llama")


def test_a_list_can_be_asked_for_its_head(server: LiveServer) -> None:
    assert server.request("HEAD", "/api/tags").status == 200


def test_nothing_runs(server: LiveServer) -> None:
    assert server.get("/api/ps").body == b'{"models":[]}'


def test_a_model_is_shown_by_any_spelling(server: LiveServer) -> None:
    for body in ({"model": "base"}, {"name": "BASE:latest", "model": ""}, {"model": "base:local"}):
        reply = server.post("/api/show", body)
        assert reply.status == 200
        assert reply.json["model_info"]["general.architecture"] == "llama"
        assert reply.headers["transfer-encoding"] == "chunked"


def test_a_client_may_want_the_name_that_it_asked_for(server: LiveServer) -> None:
    reply = server.post("/api/show", {"model": "Base"}, {"User-Agent": "GitHubCopilotChat/1.0"})
    assert reply.json["model_info"]["general.basename"] == "Base"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "model is required"),
        ({"model": " "}, 400, "model is required"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": "nope"}, 404, "model 'nope:latest' not found"),
        ({"model": "u/Nope:7b"}, 404, "model 'u/Nope:7b' not found"),
        ({"model": "x:cloud"}, 403, "ollama cloud is disabled: remote model details are unavailable"),
        ({"model": "x:cloud:local"}, 400, 'use either :local or :cloud, not both: "x:cloud:local"'),
    ],
)
def test_what_cannot_be_shown(server: LiveServer, body: object, status: int, text: str) -> None:
    assert error_of(server.post("/api/show", body)) == (status, text)


def test_a_model_is_copied_and_deleted(server: LiveServer) -> None:
    copied = server.post("/api/copy", {"source": "base", "destination": "team/twin:v1"})
    assert (copied.status, copied.body, copied.headers.get("content-type")) == (200, b"", None)
    assert copied.headers["content-length"] == "0"
    assert "team/twin:v1" in names(server)
    deleted = server.request("DELETE", "/api/delete", {"model": "", "name": "team/twin:v1"})
    assert (deleted.status, deleted.body, deleted.headers.get("content-type")) == (200, b"", None)
    assert "team/twin:v1" not in names(server)
    assert server.post("/api/show", {"model": "base"}).status == 200


def test_a_copy_onto_itself_is_no_error(server: LiveServer) -> None:
    assert server.post("/api/copy", {"source": "base", "destination": "base"}).status == 200


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, 'source "" is invalid'),
        ({"source": "a b", "destination": "c d"}, 400, 'source "a b" is invalid'),
        ({"source": "base", "destination": 'c"d'}, 400, 'destination "c\\"d" is invalid'),
        ({"source": "Nope", "destination": "x"}, 404, 'model "Nope" not found'),
    ],
)
def test_what_cannot_be_copied(server: LiveServer, body: object, status: int, text: str) -> None:
    assert error_of(server.post("/api/copy", body)) == (status, text)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "model is required"),
        ({"model": "a b"}, 400, 'name "a b" is invalid'),
        ({"model": "Nope"}, 404, "model 'Nope' not found"),
        ({"model": "x:cloud"}, 404, "model 'x:cloud' not found"),
        ({"model": "x:cloud:local"}, 400, 'use either :local or :cloud, not both: "x:cloud:local"'),
        (None, 400, "missing request body"),
    ],
)
def test_what_cannot_be_deleted(server: LiveServer, body: object, status: int, text: str) -> None:
    assert error_of(server.request("DELETE", "/api/delete", body)) == (status, text)


# ---- blobs ---------------------------------------------------------------------------------------------------------


def test_a_blob_is_stored_once(server: LiveServer) -> None:
    content = b"some content"
    path = f"/api/blobs/{digest_of(content)}"
    assert server.request("HEAD", path).status == 404
    assert server.post(path, content).status == 201
    assert server.post(path, b"something else").status == 200
    assert server.request("HEAD", path).status == 200
    assert server.request("HEAD", path.replace(":", "-")).status == 200


def test_a_large_blob_comes_in_parts(server: LiveServer) -> None:
    content = bytes(range(256)) * 40_000
    assert server.post(f"/api/blobs/{digest_of(content)}", content).status == 201


def test_content_that_is_not_what_was_said_is_kept_under_its_own_name(server: LiveServer) -> None:
    content = b"other content"
    status, text = error_of(server.post(f"/api/blobs/sha256:{MISSING}", content))
    assert (status, text) == (400, f'digest mismatch, expected "sha256:{MISSING}", got "{digest_of(content)}"')
    assert server.request("HEAD", f"/api/blobs/{digest_of(content)}").status == 200
    assert server.request("HEAD", f"/api/blobs/sha256:{MISSING}").status == 404


def test_the_spelling_of_a_digest_is_compared_too(server: LiveServer) -> None:
    content = b"dash"
    assert server.post(f"/api/blobs/{digest_of(content).replace(':', '-')}", content).status == 400


@pytest.mark.parametrize("digest", ["sha256:abc", "md5:abc", f"sha256:{MISSING}0", "sha256:a%2Fb"])
def test_what_is_no_digest_is_refused(server: LiveServer, digest: str) -> None:
    expected = 404 if "%2F" in digest else 400
    assert server.post(f"/api/blobs/{digest}", b"x").status == expected
    assert server.request("HEAD", f"/api/blobs/{digest}").status == expected


def test_an_upload_that_breaks_off_leaves_nothing(server: LiveServer) -> None:
    blobs = server.parts.store.blobs.directory
    before = set(blobs.iterdir())
    connection = server.connect()
    head = f"POST /api/blobs/sha256:{MISSING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n"
    connection.sendall(head.encode() + b"x" * 3_000_000)
    assert eventually(lambda: set(blobs.iterdir()) != before)
    connection.close()
    assert eventually(lambda: set(blobs.iterdir()) == before)


def test_a_present_blob_is_not_read_but_its_client_is_heard_out(server: LiveServer) -> None:
    content = b"x" * 5_000_000
    digest = upload(server, content)
    head = f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert server.raw(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_asks_first_need_not_send_a_present_blob(server: LiveServer) -> None:
    digest = upload(server, b"asked first")
    head = f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    answer = server.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"100 Continue" not in answer


# ---- create --------------------------------------------------------------------------------------------------------


def test_a_model_is_made_from_another(server: LiveServer) -> None:
    message = {"role": "USER", "content": "q", "images": ["aGk="]}
    body = {
        "model": "child",
        "from": "base",
        "system": "Be <brief>.",
        "parameters": {"seed": 7.0},
        "messages": [message],
    }
    reply = server.post("/api/create", body)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    assert [line["status"] for line in reply.lines][-2:] == ["writing manifest", "success"]
    shown = server.post("/api/show", {"model": "child"}).json
    assert (shown["system"], shown["parameters"].split()) == ("Be <brief>.", ["seed", "7"])
    assert shown["messages"] == [{"role": "user", "content": "q"}]
    server.request("DELETE", "/api/delete", {"model": "child"})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "invalid model name"),
        ({"model": "x", "files": {"/etc/x": "sha256:1"}}, "file path must be relative"),
        ({"model": "x", "files": {"a.gguf": ""}}, "invalid digest format"),
        ({"model": "x", "draft_quantize": "Q8_0"}, "--draft-quantize requires a DRAFT model"),
        ({"model": "a b", "from": "base"}, "invalid model name"),
    ],
)
def test_what_is_wrong_at_first_sight_is_refused(server: LiveServer, body: object, text: str) -> None:
    assert error_of(server.post("/api/create", body)) == (400, text)


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_worker_finds_first_has_its_status(server: LiveServer, stream: bool) -> None:
    reply = server.post("/api/create", {"model": "x", "stream": stream})
    assert (reply.status, reply.json) == (400, {"error": "neither 'from' or 'files' was specified"})
    assert reply.headers["content-type"] == "application/json"
    assert ("transfer-encoding" in reply.headers) == stream


def test_what_the_worker_finds_later_is_the_last_line(server: LiveServer) -> None:
    reply = server.post("/api/create", {"model": "x", "files": {"x.gguf": f"sha256:{MISSING}"}})
    assert reply.status == 200
    assert reply.lines[0] == {"status": "parsing GGUF"}
    assert reply.lines[-1]["error"].endswith(f"blobs/sha256-{MISSING}: no such file or directory")


def test_a_digest_that_cannot_be_read_is_the_worker_s_failure(server: LiveServer) -> None:
    body = {"model": "x", "files": {"x.gguf": "sha256:xyz"}, "stream": False}
    reply = server.post("/api/create", body)
    assert (reply.status, reply.json) == (500, {"error": "invalid digest format"})


# ---- pull, push ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/api/pull", {}, "invalid model name"),
        ("/api/pull", {"model": "a b"}, "invalid model name"),
        ("/api/pull", {"name": "x:cloud:local"}, 'use either :local or :cloud, not both: "x:cloud:local"'),
        ("/api/pull", None, "missing request body"),
        ("/api/push", {}, "model is required"),
        ("/api/push", None, "missing request body"),
    ],
)
def test_what_cannot_be_transferred(server: LiveServer, path: str, body: object, text: str) -> None:
    assert error_of(server.post(path, body)) == (400, text)


def test_a_push_of_a_missing_model_says_so_in_its_stream(server: LiveServer) -> None:
    reply = server.post("/api/push", {"model": "nope"})
    path = server.parts.store.manifests.directory / ModelName.parse("nope").path
    assert (reply.status, reply.lines) == (
        200,
        [
            {"status": "retrieving manifest"},
            {"status": "couldn't retrieve manifest"},
            {"error": f"open {path}: no such file or directory"},
        ],
    )


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ("a b", "registry.ollama.ai/library/a b:latest"),
        ("u/a b:7b", "registry.ollama.ai/u/a b:7b"),
        ("h/u/a b", "h/u/a b:latest"),
    ],
)
def test_a_push_under_a_bad_name_says_so_in_its_stream(server: LiveServer, typed: str, full: str) -> None:
    assert server.post("/api/push", {"name": typed}).lines[-1] == {"error": f"unqualified name: {full}"}


# ---- status, account, cloud ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer"),
    [
        ("GET", "/api/status", None, 200, {"cloud": {"disabled": True, "source": "env"}}),
        ("POST", "/api/me", None, 503, {"error": "account unavailable"}),
        ("POST", "/api/signout", None, 500, {"error": "there was an error signing out"}),
        ("DELETE", "/api/user/keys/abc", None, 500, {"error": "there was an error signing out"}),
        ("POST", "/api/experimental/web_search", None, 400, {"error": "missing request body"}),
        (
            "POST",
            "/api/experimental/web_search",
            {"query": "q"},
            403,
            {"error": "ollama cloud is disabled: web search is unavailable"},
        ),
        (
            "POST",
            "/api/experimental/web_fetch",
            {"url": "u"},
            403,
            {"error": "ollama cloud is disabled: web fetch is unavailable"},
        ),
    ],
)
def test_there_is_no_cloud(
    server: LiveServer, method: str, path: str, body: object, status: int, answer: object
) -> None:
    reply = server.request(method, path, body)
    assert (reply.status, reply.json) == (status, answer)


def test_recommendations_are_listed(server: LiveServer) -> None:
    listed = server.get("/api/experimental/model-recommendations").json["recommendations"]
    assert all({"model", "description"} <= set(entry) for entry in listed)


@pytest.mark.parametrize(
    ("config", "environment", "source"),
    [
        (None, {"OLLAMA_NO_CLOUD": "1"}, "env"),
        ({"disable_ollama_cloud": True}, {}, "config"),
        ({"disable_ollama_cloud": True}, {"OLLAMA_NO_CLOUD": "1"}, "both"),
        ([], {}, "env"),
    ],
)
def test_who_turned_the_cloud_off_is_told(
    tmp_path: Path, config: object, environment: dict[str, str], source: str
) -> None:
    from server.app import build_parts
    from server.routes.native.status import cloud_source
    from server.settings import Settings

    (tmp_path / ".ollama").mkdir()
    if config is not None:
        (tmp_path / ".ollama" / "server.json").write_text(json.dumps(config))
    parts = build_parts(Settings.from_env({"HOME": str(tmp_path)} | environment))
    assert cloud_source(parts.settings, parts.cloud_is_off_by_config) == source
