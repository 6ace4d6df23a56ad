"""Messages to the byte (ids aside), and the count of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.errors import BadRequest, ContextExceeded, LoadError, ModelNotFound, RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished, ToolCall, Usage
from server.requests import ChatRequest
from server.routes.anthropic.errors import error_body
from server.routes.anthropic.replies import MessageEncoder
from server.routes.anthropic.search import SearchEncoder
from server.routes.events import Event
from server.scheduler import QueueFull
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, fake_parts

ID = re.compile(r'"(?:msg|srvtoolu)_[0-9a-f]{24}"')
USAGE = Usage(n_prompt=7, n_generated=3)
STOP = Finished(DoneReason.STOP, USAGE)
CALL = ToolCall("f", {"b": {"y": 1, "x": 2}, "a": 3}, 0, "c1")


def streamed(*events: Event, encoder: MessageEncoder | None = None) -> list[str]:
    """The payloads, each without its type, which stands in front."""
    encoder = encoder or MessageEncoder("m", 5)
    text = ID.sub("ID", b"".join(encoder.record(event) for event in events).decode())
    found: list[str] = []
    for record in text.split("\n\n")[:-1]:
        head, data = record.split("\ndata: ")
        kind = head.removeprefix("event: ")
        assert data.startswith(f'{{"type":"{kind}"')
        found.append(f"{kind} {data[len(kind) + 11 : -1].removeprefix(',')}".strip())
    return found


def start(n_tokens: int) -> str:
    return (
        'message_start "message":{"id":ID,"type":"message","role":"assistant","model":"m","content":[],'
        f'"usage":{{"input_tokens":{n_tokens},"output_tokens":0}}}}'
    )


def begin(index: int, block: str) -> str:
    return f'content_block_start "index":{index},"content_block":{block}'


def more(index: int, delta: str) -> str:
    return f'content_block_delta "index":{index},"delta":{delta}'


def end(index: int) -> str:
    return f'content_block_stop "index":{index}'


def last(reason: str, usage: str = '{"input_tokens":7,"output_tokens":3}') -> list[str]:
    return [f'message_delta "delta":{{"stop_reason":"{reason}"}},"usage":{usage}', "message_stop"]


TEXT, THOUGHT = '{"type":"text","text":""}', '{"type":"thinking","thinking":""}'
USE = '{"type":"tool_use","id":"c1","name":"f","input":{}}'
ARGUMENTS = r'{"type":"input_json_delta","partial_json":"{\"b\":{\"x\":2,\"y\":1},\"a\":3}"}'


def said(text: str) -> str:
    return f'{{"type":"text_delta","text":"{text}"}}'


def thought(text: str) -> str:
    return f'{{"type":"thinking_delta","thinking":"{text}"}}'


STREAMS: list[tuple[list[Event], list[str]]] = [
    ([STOP], [start(7), *last("end_turn")]),
    (
        [Delta("a"), Delta("b"), Finished(DoneReason.LENGTH, USAGE)],
        [start(5), begin(0, TEXT), more(0, said("a")), more(0, said("b")), end(0), *last("max_tokens")],
    ),
    (
        [Delta(thinking="t"), Delta("a"), Delta(thinking="late"), STOP],
        [
            *(start(5), begin(0, THOUGHT), more(0, thought("t")), end(0)),
            *(begin(1, TEXT), more(1, said("a")), end(1), *last("end_turn")),
        ],
    ),
    ([Delta(thinking="t"), STOP], [start(5), begin(0, THOUGHT), more(0, thought("t")), end(0), *last("end_turn")]),
    (
        [Delta(thinking="t"), Delta(tool_calls=(CALL,)), STOP],
        [
            *(start(5), begin(0, THOUGHT), more(0, thought("t")), end(0)),
            *(begin(1, USE), more(1, ARGUMENTS), end(1), *last("tool_use")),
        ],
    ),
    (
        [Delta("a"), Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(CALL, CALL)))],
        [
            *(start(5), begin(0, TEXT), more(0, said("a")), end(0)),
            *(begin(1, USE), more(1, ARGUMENTS), end(1), *last("tool_use")),
        ],
    ),
    ([Delta("a"), Finished(None)], [start(5), begin(0, TEXT), more(0, said("a"))]),
    (
        [Finished(DoneReason.LOAD)],
        [start(5), *last("stop_sequence", '{"input_tokens":0,"output_tokens":0}')],
    ),
]


@pytest.mark.parametrize(("events", "payloads"), STREAMS)
def test_a_streamed_message(events: list[Event], payloads: list[str]) -> None:
    assert streamed(*events) == payloads


WHOLE: list[tuple[list[Event], str]] = [
    (
        [Delta(thinking="t"), Delta("a"), Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(CALL,)))],
        '[{"type":"thinking","thinking":"t"},{"type":"text","text":"a"},{"type":"tool_use","id":"c1","name":"f",'
        '"input":{"b":{"x":2,"y":1},"a":3}}],"stop_reason":"tool_use","usage":{"input_tokens":7,"output_tokens":3}',
    ),
    ([STOP], 'null,"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":3}'),
    ([Delta("a"), Finished(None)], '[{"type":"text","text":"a"}],"usage":{"input_tokens":0,"output_tokens":0}'),
    ([Finished(DoneReason.LOAD)], 'null,"stop_reason":"stop_sequence","usage":{"input_tokens":0,"output_tokens":0}'),
]


@pytest.mark.parametrize(("events", "rest"), WHOLE)
def test_a_whole_message(events: list[Event], rest: str) -> None:
    body = ID.sub("ID", MessageEncoder("m", 5).collect(events).body.decode())
    assert body == f'{{"id":ID,"type":"message","role":"assistant","model":"m","content":{rest}}}\n'


@pytest.mark.parametrize("wanted", [False, True])
def test_what_was_cached_is_no_input_anew(wanted: bool) -> None:
    finished = Finished(DoneReason.STOP, Usage(n_prompt=70, n_cached=60, n_generated=3))
    details = '"cache_creation_input_tokens":0,"cache_read_input_tokens":60'
    usage = f'{{"input_tokens":10,"output_tokens":3,{details}}}' if wanted else '{"input_tokens":70,"output_tokens":3}'
    encoder = MessageEncoder("m", 5, tells_cache=wanted, with_details=True)
    assert f'"usage":{usage}' in encoder.collect([finished]).body.decode()
    assert f'"usage":{usage}' in streamed(finished, encoder=encoder)[-2]


def test_a_prompt_that_is_too_long_is_told_in_anthropics_words() -> None:
    error = error_body(ContextExceeded(5000, 4096, "Ollama's text"))["error"]
    assert error == {"type": "invalid_request_error", "message": "prompt is too long: 5000 tokens > 4096 maximum"}


def test_a_failure_is_an_event() -> None:
    data = b'{"type":"error","error":{"type":"api_error","message":"gone"}}'
    assert MessageEncoder("m", 5).failure(RunnerCrashed("gone")) == b"event: error\ndata: " + data + b"\n\n"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (ModelNotFound("x"), "not_found_error"),
        (QueueFull(), "overloaded_error"),
        (LoadError("x"), "api_error"),
    ],
)
def test_kinds_of_errors(error: Exception, kind: str) -> None:
    body = error_body(error)
    assert list(body) == ["type", "error", "request_id"]
    assert body["error"] == {"type": kind, "message": str(error)}
    assert re.fullmatch("req_[0-9a-f]{24}", body["request_id"])


# ---- searching -----------------------------------------------------------------------------------------------------

SEARCH = ToolCall("web_search", {"query": "q"}, 0, "c2")
FAILED = (
    '{"type":"server_tool_use","id":ID,"name":"web_search","input":{"query":"q"}}',
    '{"type":"web_search_tool_result","tool_use_id":ID,'
    '"content":{"type":"web_search_tool_result_error","error_code":"unavailable"}}',
)


def test_a_search_is_answered_for_the_server() -> None:
    told = streamed(Delta("a"), Delta(tool_calls=(SEARCH, CALL)), Delta("b"), STOP, encoder=SearchEncoder("m", 5))
    text = [start(5), begin(0, TEXT), more(0, said("a")), end(0)]
    assert told == [*text, begin(1, FAILED[0]), end(1), begin(2, FAILED[1]), end(2), *last("end_turn")]
    body = (
        SearchEncoder("m", 5).collect([Delta("a"), Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(SEARCH,)))]).body
    )
    assert f'"content":[{",".join(FAILED)}],"stop_reason":"end_turn"' in ID.sub("ID", body.decode())


def test_a_search_for_nothing_is_invalid() -> None:
    search = ToolCall("web_search", {"query": 5}, 0, "c2")
    body = SearchEncoder("m", 5).collect([Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(search,)))]).body
    assert b'"error_code":"invalid_request"' in body


def test_who_may_search_but_does_not_is_told_as_ever() -> None:
    events: list[Event] = [Delta("a"), Delta(tool_calls=(CALL,)), STOP]
    assert streamed(*events, encoder=SearchEncoder("m", 5)) == streamed(*events)


CACHED = {"cache_control": {"type": "ephemeral"}}
CACHING: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"usage": {"include": True}}, True),
    (CACHED, True),
    ({"system": [{"type": "text", "text": "a"} | CACHED]}, True),
    ({"tools": [{"name": "f"} | CACHED]}, True),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"} | CACHED]}]}, True),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": None}]}]}, False),
]


@pytest.mark.parametrize(("fields", "is_told"), CACHING)
def test_what_was_cached_is_told_to_who_wants_a_cache(
    server: LiveServer, generation: FakeGeneration, fields: dict[str, Any], is_told: bool
) -> None:
    generation.script = (Finished(DoneReason.STOP, Usage(n_prompt=7, n_cached=4)),)
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]} | fields
    usage = server.post("/v1/messages", body, {"X-Stainless-Lang": "python"}).json["usage"]
    assert (usage["input_tokens"], usage.get("cache_read_input_tokens")) == ((3, 4) if is_told else (7, None))


# ---- counting ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return FakeGeneration(n_tokens=12)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(Path(tmp_path_factory.mktemp("home")), generation)) as running:
        yield running


def test_tokens_are_counted(server: LiveServer, generation: FakeGeneration) -> None:
    reply = server.post("/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    assert (reply.status, reply.body) == (200, b'{"input_tokens":12}\n')
    request = generation.requests[-1]
    assert isinstance(request, ChatRequest) and request.messages[0].content == "hi"


def test_counting_refuses_like_a_message(server: LiveServer) -> None:
    reply = server.post("/v1/messages/count_tokens", orjson.dumps({"model": "m"}))
    assert (reply.status, reply.json["error"]["message"]) == (400, "messages is required")
