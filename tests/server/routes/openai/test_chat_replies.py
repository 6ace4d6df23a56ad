"""Chat completions and completions to the byte (ids and times aside)."""

from __future__ import annotations

import re

import pytest

from models.errors import RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished, TokenLogprob, ToolCall, Usage
from server.requests import Rendered
from server.routes.events import Event
from server.routes.openai.chat_replies import ChatEncoder
from server.routes.openai.completion_replies import CompletionEncoder

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
