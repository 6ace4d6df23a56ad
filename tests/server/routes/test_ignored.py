"""Fields without effect: named in a header, or refused where the server is strict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.parsers.events import Delta, DoneReason, Finished
from server.requests import TextRequest
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, fake_parts

MESSAGES = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": MESSAGES},
    "/v1/completions": {"model": "m", "prompt": "p"},
    "/v1/responses": {"model": "m", "input": "i"},
    "/v1/messages": {"model": "m", "messages": MESSAGES, "max_tokens": 5},
    "/api/chat": {"model": "m", "messages": MESSAGES},
    "/api/generate": {"model": "m", "prompt": "p"},
}


def fake() -> FakeGeneration:
    return FakeGeneration((Delta("a"), Finished(DoneReason.STOP)))


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return fake()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), generation)) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), fake(), {"PUNA_STRICT": "1"})) as running:
        yield running


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
def test_unknown_fields_and_options_are_named(server: LiveServer, path: str, stream: bool) -> None:
    reply = server.post(path, BODIES[path] | {"stream": stream, "zzz": 1, "options": {"yyy": 1, "seed": 1}, "no": None})
    assert (reply.status, reply.headers["x-ignored-params"]) == (200, "zzz, options.yyy")


@pytest.mark.parametrize("path", BODIES)
def test_a_request_that_is_understood_has_no_such_header(server: LiveServer, path: str) -> None:
    assert "x-ignored-params" not in server.post(path, BODIES[path]).headers


def test_an_error_names_them_too(server: LiveServer) -> None:
    reply = server.post("/v1/chat/completions", {"model": "m", "zzz": 1})
    assert (reply.status, reply.headers["x-ignored-params"]) == (400, "zzz")


def test_what_only_concerns_openai_is_no_news(server: LiveServer) -> None:
    fields = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"}
    assert (
        "x-ignored-params" not in server.post("/v1/chat/completions", BODIES["/v1/chat/completions"] | fields).headers
    )


NAMES = [
    ("a,b\r\nX-Evil: 1", "a?b??X-Evil: 1"),
    ("é\x7f", "??"),
    ("x" * 65, "x" * 64 + "..."),
    ("", ""),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_names_are_fit_for_a_header(server: LiveServer, name: str, shown: str) -> None:
    reply = server.post("/v1/chat/completions", BODIES["/v1/chat/completions"] | {name: 1})
    assert reply.headers["x-ignored-params"] == shown


def test_only_some_of_very_many_are_named(server: LiveServer) -> None:
    fields = {f"f{i}": i for i in range(1000)}
    named = server.post("/v1/completions", BODIES["/v1/completions"] | fields).headers["x-ignored-params"]
    assert named.split(", ") == [f"f{i}" for i in range(32)]


@pytest.mark.parametrize("path", BODIES)
def test_a_strict_server_refuses_them_in_the_dialects_form(strict: LiveServer, path: str) -> None:
    reply = strict.post(path, BODIES[path] | {"zzz": 1})
    error = reply.json["error"]
    assert (reply.status, error["message"] if path.startswith("/v1") else error) == (400, "unknown field: 'zzz'")
    assert strict.post(path, BODIES[path] | {"options": {"seed": 1}}).status == 200


@pytest.mark.parametrize("path", [path for path in BODIES if path.startswith("/v1")])
def test_under_v1_options_may_stand_beside_the_other_fields(
    server: LiveServer, generation: FakeGeneration, path: str
) -> None:
    reply = server.post(path, BODIES[path] | {"repeat_last_n": 5, "options": {"repeat_last_n": 4, "num_keep": 3}})
    request = generation.requests[-1]
    assert isinstance(request, TextRequest)
    assert (request.options["repeat_last_n"], request.options["num_keep"]) == (5, 3)
    assert "x-ignored-params" not in reply.headers
    refused = server.post(path, BODIES[path] | {"repeat_last_n": "x"})
    assert (refused.status, refused.json["error"]["message"]) == (400, 'option "repeat_last_n" must be of type integer')
