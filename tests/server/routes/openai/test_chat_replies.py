"""Chat completions and completions to the byte (ids and times aside)."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from models.errors import ContextExceeded, RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished, TokenLogprob, ToolCall, Usage
from server.requests import Rendered
from server.routes.events import Event
from server.routes.openai.chat_replies import ChatEncoder
from server.routes.openai.choices import Choice, ChoiceEvent
from server.routes.openai.completion_replies import CompletionEncoder
from server.routes.openai.errors import error_body

USAGE = Usage(n_prompt=7, n_generated=3)
CALL = ToolCall("f", {"b": {"y": 1, "x": "<"}, "a": 2}, 0, "c1")
STOP = Finished(DoneReason.STOP, USAGE)
HEAD = re.compile(r'"id":"(?:chatcmpl|cmpl)-\d{1,3}","object":"([a-z._]+)","created":\d+')


def strip(text: bytes) -> str:
    return HEAD.sub(r'"\1"', text.decode())


def streamed(*events: Event, with_usage: bool = False) -> list[str]:
    """What each chunk says, after the head that all have."""
    encoder = ChatEncoder("m", stream=True, with_usage=with_usage)
    text = strip(b"".join(encoder.record(event) for event in events))
    head = 'data: {"chat.completion.chunk","model":"m","system_fingerprint":"fp_ollama",'
    return [record.removeprefix(head) for record in text.split("\n\n")[:-1]]


def choice(delta: str, reason: str = "null", more: str = "") -> str:
    return f'"choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}{more}}}]}}'


CALL_TEXT = (
    '"tool_calls":[{"id":"c1","index":0,"type":"function","function":{"name":"f",'
    '"arguments":"{\\"b\\":{\\"x\\":\\"\\\\u003c\\",\\"y\\":1},\\"a\\":2}"}}]'
)
STREAMS: list[tuple[list[Event], list[str]]] = [
    (
        [Delta("a"), Delta("b"), STOP],
        [choice('{"role":"assistant","content":"a"}'), choice('{"content":"b"}'), choice("{}", '"stop"')],
    ),
    ([STOP], [choice('{"role":"assistant","content":""}'), choice("{}", '"stop"')]),
    (
        [Delta(thinking="t"), Finished(DoneReason.LENGTH)],
        [choice('{"role":"assistant","content":"","reasoning":"t"}'), choice("{}", '"length"')],
    ),
    (
        [Delta("c", "t"), STOP],
        [choice('{"role":"assistant","reasoning":"t"}'), choice('{"content":"c"}'), choice("{}", '"stop"')],
    ),
    (
        [Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(CALL,)))],
        [choice(f'{{"role":"assistant","content":"",{CALL_TEXT}}}'), choice("{}", '"tool_calls"')],
    ),
    (
        [Delta(tool_calls=(CALL,)), Finished(DoneReason.LENGTH)],
        [choice(f'{{"role":"assistant","content":"",{CALL_TEXT}}}'), choice("{}", '"length"')],
    ),
    (
        [Delta("a", logprobs=(TokenLogprob(b"a", -0.5),)), STOP],
        [
            choice(
                '{"role":"assistant","content":"a"}',
                more=',"logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97]}]}',
            ),
            choice("{}", '"stop"'),
        ],
    ),
]


@pytest.mark.parametrize(("events", "chunks"), STREAMS)
def test_a_streamed_chat(events: list[Event], chunks: list[str]) -> None:
    assert streamed(*events) == [*chunks, "data: [DONE]"]


def test_usage_has_a_chunk_of_its_own() -> None:
    usage = '"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}'
    assert streamed(Delta("a"), STOP, with_usage=True)[2:] == [usage, "data: [DONE]"]


def test_an_abandoned_reply_just_ends() -> None:
    assert len(streamed(Delta("a"), Finished(None))) == 1


def test_a_whole_chat() -> None:
    events: list[Event] = [Delta(thinking="t"), Delta("a"), Finished(DoneReason.STOP, USAGE, Delta("b", "", (CALL,)))]
    answer = ChatEncoder("m", stream=False, with_usage=False).collect(events)
    assert strip(answer.body) == (
        '{"chat.completion","model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{"role":'
        f'"assistant","content":"ab","reasoning":"t",{CALL_TEXT}}},"finish_reason":"tool_calls"}}],'
        '"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n'
    )


def test_a_prompt_is_shown_instead_of_a_reply() -> None:
    answer = ChatEncoder("m", stream=False, with_usage=False).alone(Rendered("p", 1))
    assert answer is not None
    assert strip(answer.body).endswith(
        '"message":{"role":"","content":""},"finish_reason":null}],"usage":{"prompt_tokens":0,"completion_tokens":0,'
        '"total_tokens":0},"_debug_info":{"rendered_template":"p","image_count":1}}\n'
    )


def test_loading_is_a_short_stream() -> None:
    answer = ChatEncoder("m", stream=True, with_usage=False).alone(Finished(DoneReason.LOAD))
    assert answer is not None
    assert b'"delta":{},"finish_reason":"load"' in answer.body and answer.body.endswith(b"data: [DONE]\n\n")


def test_a_failure_is_told_in_the_stream() -> None:
    encoder = ChatEncoder("m", stream=True, with_usage=False)
    body = b'{"error":{"message":"gone","type":"api_error","param":null,"code":null}}'
    assert encoder.failure(RunnerCrashed("gone")) == b"data: " + body + b"\n\n"


# ---- several choices ------------------------------------------------------------------------------------------------


def played(*events: tuple[int, Event]) -> list[ChoiceEvent]:
    return [Choice(index, event) for index, event in events]


TWO = played((1, Delta("x")), (0, Delta("a")), (0, STOP), (1, Delta("y")), (1, Finished(DoneReason.LENGTH, USAGE)))


def chunk_fields(body: bytes) -> list[Any]:
    records = body.removesuffix(b"\n\n").split(b"\n\n")
    assert records.pop() == b"data: [DONE]"
    return [orjson.loads(record.removeprefix(b"data: ")) for record in records]


def test_chunks_tell_whose_choice_they_are_and_the_usage_comes_once() -> None:
    encoder = ChatEncoder("m", stream=True, with_usage=True, n_choices=2)
    chunks = chunk_fields(b"".join(encoder.record(event) for event in TWO))
    usage = chunks.pop()
    assert (usage["choices"], usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == ([], 7, 6)
    told = [(c["index"], c["delta"].get("role"), c["delta"].get("content"), c["finish_reason"])
            for chunk in chunks for c in chunk["choices"]]  # fmt: skip
    assert told == [
        (0, "assistant", "", None),
        (1, "assistant", "", None),
        (1, None, "x", None),
        (0, None, "a", None),
        (0, None, None, "stop"),
        (1, None, "y", None),
        (1, None, None, "length"),
    ]


def test_whole_choices_stand_in_the_order_of_their_numbers() -> None:
    body = orjson.loads(ChatEncoder("m", stream=False, with_usage=False, n_choices=2).collect(TWO).body)
    told = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in body["choices"]]
    assert told == [(0, "a", "stop"), (1, "xy", "length")]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 6, "total_tokens": 13}


@pytest.mark.parametrize(
    ("usage", "wanted", "is_told"),
    [
        (Usage(n_prompt=2000, n_cached=1024, n_thinking=2), False, True),
        (Usage(n_prompt=2000, n_cached=1023, n_thinking=2), False, False),
        (Usage(n_prompt=7, n_cached=0, n_thinking=2), True, True),
    ],
)
def test_details_of_the_usage(usage: Usage, wanted: bool, is_told: bool) -> None:
    encoder = ChatEncoder("m", stream=False, with_usage=False, with_details=wanted)
    found = orjson.loads(encoder.collect([Finished(DoneReason.STOP, usage)]).body)["usage"]
    details = {
        "prompt_tokens_details": {"cached_tokens": usage.n_cached},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert (details.items() <= found.items(), "prompt_tokens_details" in found) == (is_told, is_told)


# ---- completions ---------------------------------------------------------------------------------------------------


def completed(*events: Event, with_usage: bool = False) -> list[str]:
    encoder = CompletionEncoder("m", stream=True, with_usage=with_usage)
    return strip(b"".join(encoder.record(event) for event in events)).split("\n\n")[:-1]


def text_chunk(text: str, reason: str = "null", usage: str = "") -> str:
    return (
        f'data: {{"text_completion","choices":[{{"text":"{text}","index":0,"finish_reason":{reason}}}],'
        f'"model":"m","system_fingerprint":"fp_ollama"{usage}}}'
    )


def test_a_streamed_completion() -> None:
    chunks = completed(Delta("a"), Delta(thinking="t"), STOP)
    assert chunks == [text_chunk("a"), text_chunk(""), text_chunk("", '"stop"'), "data: [DONE]"]


def test_every_chunk_of_a_completion_tells_a_usage() -> None:
    zeros = ',"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
    real = zeros.replace('prompt_tokens":0', 'prompt_tokens":7').replace('completion_tokens":0', 'completion_tokens":3')
    last = 'data: {"text_completion","choices":[],"model":"m","system_fingerprint":"fp_ollama"'
    assert completed(Delta("a"), STOP, with_usage=True) == [
        text_chunk("a", usage=zeros),
        text_chunk("", '"stop"', zeros),
        last + real.replace('total_tokens":0', 'total_tokens":10') + "}",
        "data: [DONE]",
    ]


@pytest.mark.parametrize(("reason", "told"), [(DoneReason.LOAD, '"load"'), (None, "null")])
def test_a_whole_completion_without_text(reason: DoneReason | None, told: str) -> None:
    answer = CompletionEncoder("m", stream=False, with_usage=False).collect([Finished(reason)])
    assert strip(answer.body) == (
        f'{{"text_completion","model":"m","system_fingerprint":"fp_ollama","choices":[{{"text":"","index":0,'
        f'"finish_reason":{told}}}],"usage":{{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}}}\n'
    )


def likely(text: str, logprob: float) -> Delta:
    return Delta(text, logprobs=(TokenLogprob(text.encode(), logprob),))


def test_the_best_of_several_candidates_are_told() -> None:
    encoder = CompletionEncoder("m", stream=False, with_usage=False, n_prompts=2, n_candidates=2, n_told=1)
    events = played(*((i, likely(t, lp)) for i, (t, lp) in enumerate([("a", -2), ("b", -1), ("c", -1), ("d", -3)])))
    body = orjson.loads(encoder.collect(events + played(*((i, STOP) for i in range(4)))).body)
    assert [(c["index"], c["text"]) for c in body["choices"]] == [(0, "b"), (1, "c")]
    assert body["usage"] == {"prompt_tokens": 14, "completion_tokens": 12, "total_tokens": 26}


def test_logprobs_of_a_completion_stand_in_each_chunk() -> None:
    encoder = CompletionEncoder("m", stream=True, with_usage=False, with_logprobs=True)
    chunks = chunk_fields(b"".join(encoder.record(event) for event in [likely("a", -1), likely("b", -2), STOP]))
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [(lp["tokens"], lp["text_offset"]) for lp in told] == [(["a"], [0]), (["b"], [1]), ([], [])]


def test_a_streamed_completion_of_several_prompts() -> None:
    encoder = CompletionEncoder("m", stream=True, with_usage=True, n_prompts=2)
    chunks = chunk_fields(b"".join(encoder.record(e) for e in played((1, Delta("x")), (1, STOP), (0, STOP))))
    assert [[(c["index"], c["text"]) for c in chunk["choices"]] for chunk in chunks] == [
        [(1, "x")],
        [(1, "")],
        [(0, "")],
        [],
    ]
    assert chunks[-1]["usage"] == {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}


def test_a_prompt_that_is_too_long_is_told_in_openais_words() -> None:
    error = error_body(ContextExceeded(5000, 4096, "Ollama's text"))["error"]
    assert error == {
        "message": "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 "
        "tokens. Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": None,
        "code": "context_length_exceeded",
    }
