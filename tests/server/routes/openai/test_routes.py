"""Routes of OpenAI's dialect whose answers are no streams: embeddings, models, transcriptions."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import InputTooLong, ModelNotFound, UnusableOutput
from models.parsers.events import Delta, DoneReason, Finished
from server.generation import CLOUD_DISABLED, CloudDisabled
from server.requests import ChatRequest, Embeddings
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, Reply, fake_parts


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return FakeGeneration()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), generation)) as running:
        yield running


# ---- embeddings ----------------------------------------------------------------------------------------------------


def test_vectors_as_numbers_and_as_text(server: LiveServer, generation: FakeGeneration) -> None:
    generation.embeddings = Embeddings((memoryview(array("f", [0.1, -1.0])),), n_tokens=3)
    rest = b',"index":0}],"model":"<M>","usage":{"prompt_tokens":3,"total_tokens":3}}\n'.replace(
        b"<M>", b"\\u003cM\\u003e"
    )
    numbers = server.post("/v1/embeddings", {"model": "<M>", "input": "a"})
    assert numbers.body == b'{"object":"list","data":[{"object":"embedding","embedding":[0.1,-1]' + rest
    text = server.post("/v1/embeddings", {"model": "<M>", "input": "a", "encoding_format": "Base64"})
    encoded = base64.b64encode(bytes.fromhex("cdcccc3d000080bf"))
    assert text.body == b'{"object":"list","data":[{"object":"embedding","embedding":"' + encoded + b'"' + rest


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InputTooLong("too long"), 400, "invalid_request_error"),
        (UnusableOutput("NaN"), 400, "invalid_request_error"),
        (ModelNotFound("nope"), 404, "not_found_error"),
    ],
)
def test_errors_of_embedding(
    server: LiveServer, generation: FakeGeneration, error: Exception, status: int, kind: str
) -> None:
    generation.embeddings = error
    reply = server.post("/v1/embeddings", {"model": "m", "input": "a"})
    assert (reply.status, reply.json["error"]["type"], reply.json["error"]["message"]) == (status, kind, str(error))
    assert reply.headers["content-type"] == "application/json"


# ---- models --------------------------------------------------------------------------------------------------------


def test_no_models_are_null(server: LiveServer) -> None:
    assert server.get("/v1/models").body == b'{"object":"list","data":null}\n'


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("nope", 404, "model 'nope:latest' not found"),
        ("a%20b", 400, "invalid model name"),
        ("x:cloud:local", 400, 'use either :local or :cloud, not both: "x:cloud:local"'),
    ],
)
def test_models_that_are_not_there(server: LiveServer, path: str, status: int, text: str) -> None:
    reply = server.get(f"/v1/models/{path}")
    assert (reply.status, reply.json["error"]["message"]) == (status, text)
    assert reply.body.endswith(b"}\n")


# ---- transcriptions ------------------------------------------------------------------------------------------------

FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def transcribe(server: LiveServer, path: str = "", **fields: str) -> Reply:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF')
    return server.post(f"/v1/audio/transcriptions{path}", "\r\n".join([*parts, "--b--"]).encode(), FORM)


def test_a_recording_is_asked_about(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta(" some "), Delta("words "), Finished(DoneReason.STOP))
    reply = transcribe(server, model="m", language="Frisian", prompt="A greeting.")
    assert reply.body == b'{"text":"some words"}\n'
    assert reply.headers["content-type"] == "application/x-ndjson"
    request = generation.requests[-1]
    assert isinstance(request, ChatRequest)
    assert (request.options, request.messages[1].images) == ({"temperature": 0}, (b"RIFF",))
    assert "x-ignored-params" not in reply.headers
    assert "Frisian" in request.messages[0].content and "A greeting." in request.messages[0].content


@pytest.mark.parametrize(
    ("fields", "kind", "body"),
    [
        ({}, "application/json", b'{"text":"words"}\n'),
        ({"response_format": "text"}, "text/plain", b"words"),
        ({"response_format": "srt"}, "application/json", b'{"text":"words"}\n'),
    ],
)
def test_what_comes_at_once_has_the_type_of_its_form(
    server: LiveServer, generation: FakeGeneration, fields: dict[str, str], kind: str, body: bytes
) -> None:
    generation.script = (Finished(DoneReason.STOP, delta=Delta("words")),)
    reply = transcribe(server, "?model=m", **fields)
    assert (reply.headers["content-type"], reply.body) == (kind, body)


def test_fields_of_a_form_without_effect_are_named(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("words"), Finished(DoneReason.STOP))
    assert transcribe(server, model="m", temperature="0.5").headers["x-ignored-params"] == "temperature"


def test_a_model_in_the_cloud_is_refused_in_the_dialects_form(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (CloudDisabled(CLOUD_DISABLED),)
    reply = transcribe(server, model="x:cloud")
    assert (reply.status, reply.json["error"]["type"]) == (403, "api_error")


def test_a_failure_is_told_whenever_it_comes(server: LiveServer, generation: FakeGeneration) -> None:
    generation.script = (Delta("a"), ModelNotFound("nope"))
    reply = transcribe(server, model="m")
    assert (reply.status, reply.json["error"]["message"]) == (404, "nope")
