"""What the context had no room for: the same fields in every dialect, streamed or not, beside how a reply ended."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from models.parsers.events import Delta, DoneReason, Finished, Usage
from models.runner.messages import InputCut
from server.json_decoding.kinds import decode
from server.json_decoding.parse import parse
from server.requests import Embeddings
from server.routes.anthropic.replies import MessageEncoder
from server.routes.cuts import MAX_TOLD_INPUTS
from server.routes.events import Event
from server.routes.native.replies import ChatEncoder as NativeChatEncoder
from server.routes.native.replies import GenerateEncoder
from server.routes.openai.chat_replies import ChatEncoder
from server.routes.openai.choices import Choice
from server.routes.openai.completion_replies import CompletionEncoder
from server.routes.openai.responses.replies import ResponseEncoder
from server.routes.openai.responses.schema import RESPONSE, ResponseBody
from server.routes.openai.transcriptions import TranscriptionEncoder
from tests.fakes.generation import FakeGeneration
from tests.fakes.live_server import LiveServer, fake_parts

FIELDS = {
    "done_detail",
    "truncated",
    "prompt_original_count",
    "prompt_kept_count",
    "dropped_messages_count",
    "shifted_count",
}
USAGE = Usage(n_prompt=7, n_generated=3)
CUT = {"truncated": True, "prompt_original_count": 1200, "prompt_kept_count": 7}
ENDS: list[tuple[Finished, dict[str, Any]]] = [
    (Finished(DoneReason.STOP, USAGE), {}),
    (Finished(DoneReason.LENGTH, USAGE), {}),
    (Finished(DoneReason.LENGTH, USAGE, is_context_full=True), {"done_detail": "context"}),
    (Finished(DoneReason.STOP, replace(USAGE, n_original=1200)), CUT),
    (Finished(DoneReason.STOP, replace(USAGE, n_original=1200, n_dropped=4)), CUT | {"dropped_messages_count": 4}),
    (Finished(DoneReason.LENGTH, replace(USAGE, n_shifted=30)), {"shifted_count": 30}),
    (
        Finished(DoneReason.LENGTH, replace(USAGE, n_original=1200, n_shifted=30), is_context_full=True),
        CUT | {"done_detail": "context", "shifted_count": 30},
    ),
]

Play = Callable[[list[Event]], tuple[dict[str, Any], bytes]]
"""Encodes a reply: the object that tells how it ended, and all that was said."""


def response() -> ResponseEncoder:
    body: ResponseBody = decode(RESPONSE, parse(b'{"model":"m"}'))
    return ResponseEncoder(body)


def streamed(encoder: Any, events: list[Event]) -> bytes:
    return b"".join(map(encoder.record, events))


def payloads(stream: bytes) -> list[Any]:
    """Of server-sent events."""
    lines = (line for line in stream.splitlines() if line.startswith(b"data: {"))
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines]


def native(kind: type[NativeChatEncoder | GenerateEncoder], *, stream: bool) -> Play:
    def play(events: list[Event]) -> tuple[dict[str, Any], bytes]:
        text = streamed(kind("m"), events) if stream else kind("m").collect(events).body
        return orjson.loads(text.splitlines()[-1]), text

    return play


def with_choices(encoder: Callable[[bool], Any], *, stream: bool) -> Play:
    def play(events: list[Event]) -> tuple[dict[str, Any], bytes]:
        text = streamed(encoder(True), events) if stream else encoder(False).collect(events).body
        objects = payloads(text) if stream else [orjson.loads(text)]
        (end,) = (c for o in objects for c in o["choices"] if c["finish_reason"])
        return end, text

    return play


def message_stream(events: list[Event]) -> tuple[dict[str, Any], bytes]:
    text = streamed(MessageEncoder("m", 5), events)
    (end,) = (event["delta"] for event in payloads(text) if event["type"] == "message_delta")
    return end, text


def response_stream(events: list[Event]) -> tuple[dict[str, Any], bytes]:
    text = streamed(response(), events)
    return payloads(text)[-1]["response"], text


def whole(encoder: Callable[[], Any]) -> Play:
    def play(events: list[Event]) -> tuple[dict[str, Any], bytes]:
        text = encoder().collect(events).body
        return orjson.loads(text), text

    return play


DIALECTS: dict[str, Play] = {
    "native chat": native(NativeChatEncoder, stream=False),
    "native chat stream": native(NativeChatEncoder, stream=True),
    "generate": native(GenerateEncoder, stream=False),
    "generate stream": native(GenerateEncoder, stream=True),
    "chat": with_choices(lambda stream: ChatEncoder("m", stream=stream, with_usage=False), stream=False),
    "chat stream": with_choices(lambda stream: ChatEncoder("m", stream=stream, with_usage=False), stream=True),
    "chat stream with usage": with_choices(lambda s: ChatEncoder("m", stream=s, with_usage=True), stream=True),
    "completion": with_choices(lambda stream: CompletionEncoder("m", stream=stream, with_usage=False), stream=False),
    "completion stream": with_choices(lambda s: CompletionEncoder("m", stream=s, with_usage=False), stream=True),
    "message": whole(lambda: MessageEncoder("m", 5)),
    "message stream": message_stream,
    "response": whole(response),
    "response stream": response_stream,
    "transcription": whole(lambda: TranscriptionEncoder(as_text=False)),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("finished", "told"), ENDS)
def test_what_the_context_had_no_room_for_is_told_once(dialect: str, finished: Finished, told: dict[str, Any]) -> None:
    end, everything = DIALECTS[dialect]([Delta("a"), finished])
    assert {name: value for name, value in end.items() if name in FIELDS} == told
    assert [name for name in FIELDS if b'"%b"' % name.encode() in everything] == [n for n in FIELDS if n in told]
    assert all(everything.count(b'"%b"' % name.encode()) == 1 for name in told)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_each_choice_tells_of_itself(kind: str, stream: bool) -> None:
    encoder: Any
    if kind == "chat":
        encoder = ChatEncoder("m", stream=stream, with_usage=False, n_choices=3)
    else:
        encoder = CompletionEncoder("m", stream=stream, with_usage=False, n_prompts=3)
    events = [Choice(i, end) for i, (end, _) in enumerate(ENDS[:3])]
    text = streamed(encoder, events) if stream else encoder.collect(events).body  # type: ignore[arg-type]
    objects = payloads(text) if stream else [orjson.loads(text)]
    ends = {c["index"]: c.get("done_detail") for o in objects for c in o["choices"] if c["finish_reason"]}
    assert ends == {0: None, 1: None, 2: "context"}


# ---- embeddings ----------------------------------------------------------------------------------------------------

Embed = Callable[[Embeddings], dict[str, Any]]
VECTOR = memoryview(array("f", [1.0, 0.0]).tobytes()).cast("f")


@pytest.fixture(scope="module")
def generation() -> FakeGeneration:
    return FakeGeneration()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generation: FakeGeneration) -> Iterator[LiveServer]:
    with LiveServer(fake_parts(tmp_path_factory.mktemp("home"), generation)) as running:
        yield running


@pytest.fixture(params=["/api/embed", "/v1/embeddings"])
def embed(request: pytest.FixtureRequest, server: LiveServer, generation: FakeGeneration) -> Embed:
    def ask(found: Embeddings) -> dict[str, Any]:
        generation.embeddings = found
        answer: dict[str, Any] = server.post(request.param, {"model": "m", "input": ["a", "b"]}).json
        return answer

    return ask


def test_inputs_that_were_cut_are_told_with_their_numbers(embed: Embed) -> None:
    found = Embeddings((VECTOR, VECTOR), 10, 1, 2, (InputCut(1, 900, 8),))
    told = embed(found)
    assert {name: told[name] for name in list(told)[-5:]} == {
        "truncated": True,
        "prompt_original_count": 902,
        "prompt_kept_count": 10,
        "truncated_inputs_count": 1,
        "truncated_inputs": [{"index": 1, "prompt_original_count": 900, "prompt_kept_count": 8}],
    }


def test_nothing_is_told_of_inputs_that_fit(embed: Embed) -> None:
    told = embed(Embeddings((VECTOR, VECTOR), 10, 1, 2))
    assert not any("trunc" in name or "count" in name for name in told if name != "prompt_eval_count")


def test_of_very_many_inputs_only_the_first_are_told_one_by_one(embed: Embed) -> None:
    n = MAX_TOLD_INPUTS + 5
    told = embed(Embeddings((VECTOR,) * n, 8 * n, 1, 2, tuple(InputCut(i, 9, 8) for i in range(n))))
    assert (told["truncated_inputs_count"], told["prompt_original_count"]) == (n, 9 * n)
    assert [cut["index"] for cut in told["truncated_inputs"]] == list(range(MAX_TOLD_INPUTS))
