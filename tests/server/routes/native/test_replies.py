"""Events as Ollama writes them, to the byte (times aside)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from models.errors import BadRequest, RunnerCrashed
from models.parsers.events import AlternativeToken, Delta, DoneReason, Finished, TokenLogprob, ToolCall, Usage
from server.formats import InvalidFormat
from server.requests import Rendered
from server.routes.native.replies import ChatEncoder, GenerateEncoder
from server.transport.answers import BARE_JSON, JSON

USAGE = Usage(n_prompt=7, prompt_ns=11, n_generated=3, decode_ns=13, load_ns=5, total_ns=17)
METRICS = (
    '"total_duration":17,"load_duration":5,"prompt_eval_count":7,"prompt_eval_duration":11,'
    '"eval_count":3,"eval_duration":13'
)
CALL = ToolCall("f", {"b": {"y": 1, "x": 2}, "a": "<é>"}, 1, "call_1")
LOGPROB = TokenLogprob(b"\xc3", -0.5, (AlternativeToken(b"a", -0.5), AlternativeToken(b"\xff", -1.25)))
TIME = re.compile(r'"created_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z",')


def untimed(text: bytes) -> str:
    blanked, n = TIME.subn("", text.decode())
    assert n == 1
    return blanked


CHAT_RECORDS = [
    (Delta("Hello"), '{"model":"m","message":{"role":"assistant","content":"Hello"},"done":false}\n'),
    (Delta("<é>\n"), '{"model":"m","message":{"role":"assistant","content":"\\u003cé\\u003e\\n"},"done":false}\n'),
    (Delta(thinking="t"), '{"model":"m","message":{"role":"assistant","content":"","thinking":"t"},"done":false}\n'),
    (
        Delta(tool_calls=(CALL,)),
        '{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"id":"call_1","function":{"index":1,'
        '"name":"f","arguments":{"b":{"x":2,"y":1},"a":"\\u003cé\\u003e"}}}]},"done":false}\n',
    ),
    (
        Delta(logprobs=(LOGPROB,)),
        '{"model":"m","message":{"role":"assistant","content":""},"done":false,"logprobs":[{"token":"\ufffd",'
        '"logprob":-0.5,"bytes":[239,191,189],"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":[97]},'
        '{"token":"\ufffd","logprob":-1.25,"bytes":[239,191,189]}]}]}\n',
    ),
    (
        Finished(DoneReason.STOP, USAGE),
        f'{{"model":"m","message":{{"role":"assistant","content":""}},"done":true,"done_reason":"stop",{METRICS}}}\n',
    ),
    (
        Finished(DoneReason.LENGTH, Usage(), Delta(tool_calls=(ToolCall("g"),))),
        '{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"g",'
        '"arguments":{}}}]},"done":true,"done_reason":"length"}\n',
    ),
]


@pytest.mark.parametrize(("event", "record"), CHAT_RECORDS)
def test_records_of_a_chat(event: Delta | Finished, record: str) -> None:
    assert untimed(ChatEncoder("m").record(event)) == record


GENERATE_RECORDS = [
    (Delta("Hello"), '{"model":"m","response":"Hello","done":false}\n'),
    (Delta("a", "t"), '{"model":"m","response":"a","thinking":"t","done":false}\n'),
    (
        Finished(DoneReason.STOP, USAGE, context=(1, 2)),
        f'{{"model":"m","response":"","done":true,"done_reason":"stop","context":[1,2],{METRICS}}}\n',
    ),
    (
        Finished(DoneReason.STOP, USAGE, Delta(tool_calls=(ToolCall("g"),), logprobs=(TokenLogprob(b"x", 0.0),))),
        f'{{"model":"m","response":"","done":true,"done_reason":"stop",{METRICS},"tool_calls":[{{"function":{{"index":0,'
        '"name":"g","arguments":{}}}],"logprobs":[{"token":"x","logprob":0,"bytes":[120]}]}\n',
    ),
]


@pytest.mark.parametrize(("event", "record"), GENERATE_RECORDS)
def test_records_of_a_completion(event: Delta | Finished, record: str) -> None:
    assert untimed(GenerateEncoder("m").record(event)) == record


@pytest.mark.parametrize("encoder", [ChatEncoder("m"), GenerateEncoder("m")])
@pytest.mark.parametrize(
    ("finished", "told"),
    [
        (Finished(DoneReason.LENGTH, USAGE, is_context_full=True), ',"done_detail":"context"'),
        (
            Finished(DoneReason.STOP, replace(USAGE, n_original=1200)),
            ',"truncated":true,"prompt_original_count":1200,"prompt_kept_count":7',
        ),
        (Finished(DoneReason.LENGTH, replace(USAGE, n_shifted=30)), ',"shifted_count":30'),
    ],
)
def test_what_the_context_had_no_room_for_is_told(
    encoder: ChatEncoder | GenerateEncoder, finished: Finished, told: str
) -> None:
    assert encoder.record(finished).endswith(f"{METRICS}{told}}}\n".encode())
    assert encoder.collect([Delta("a"), finished]).body.endswith(f"{METRICS}{told}}}".encode())


def test_the_name_is_echoed_as_it_was_sent() -> None:
    assert untimed(GenerateEncoder('A:"<x>"').record(Delta("a"))).startswith('{"model":"A:\\"\\u003cx\\u003e\\"",')


@pytest.mark.parametrize("encoder", [ChatEncoder("m"), GenerateEncoder("m")])
def test_an_abandoned_reply_has_no_last_record(encoder: ChatEncoder | GenerateEncoder) -> None:
    assert encoder.record(Finished(None)) == b""
    assert b'"done":false' in encoder.collect([Delta("a"), Finished(None)]).body
    assert b"done_reason" not in encoder.collect([Delta("a"), Finished(None)]).body


def test_a_collected_chat_joins_all_that_was_said() -> None:
    events = [
        Delta(thinking="t"),
        Delta("a"),
        Delta("b", tool_calls=(CALL,)),
        Finished(DoneReason.STOP, USAGE, Delta("c")),
    ]
    answer = ChatEncoder("m").collect(events)  # type: ignore[arg-type]  # a list of one kind is a list of events
    assert (answer.status, list(answer.headers)) == (200, [JSON])
    assert untimed(answer.body) == (
        '{"model":"m","message":{"role":"assistant","content":"abc","thinking":"t","tool_calls":[{"id":"call_1","function":'
        '{"index":1,"name":"f","arguments":{"b":{"x":2,"y":1},"a":"\\u003cé\\u003e"}}}]},"done":true,'
        f'"done_reason":"stop",{METRICS}}}'
    )


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (Finished(DoneReason.LOAD), '{"model":"m","response":"","done":true,"done_reason":"load"}'),
        (Finished(DoneReason.UNLOAD), '{"model":"m","response":"","done":true,"done_reason":"unload"}'),
        (
            Rendered("a > b", 2),
            '{"model":"m","response":"","done":false,'
            '"_debug_info":{"rendered_template":"a \\u003e b","image_count":2}}',
        ),
    ],
)
def test_some_events_are_the_whole_answer(event: Finished | Rendered, body: str) -> None:
    answer = GenerateEncoder("m").alone(event)
    assert answer is not None
    assert untimed(answer.body) == body


def test_a_rendered_chat_has_a_message_of_nobody() -> None:
    answer = ChatEncoder("m").alone(Rendered("p"))
    assert answer is not None
    assert untimed(answer.body) == (
        '{"model":"m","message":{"role":"","content":""},"done":false,"_debug_info":{"rendered_template":"p"}}'
    )


@pytest.mark.parametrize("event", [Delta("a"), Finished(DoneReason.STOP), Finished(None)])
def test_others_are_not(event: Delta | Finished) -> None:
    assert ChatEncoder("m").alone(event) is None


def test_an_error_of_the_engine_is_the_first_record_of_its_stream() -> None:
    encoder = ChatEncoder("m")
    assert BARE_JSON in encoder.refusal(InvalidFormat("5"), stream=True).headers
    assert BARE_JSON in encoder.refusal(RunnerCrashed("x"), stream=True).headers
    assert JSON in encoder.refusal(InvalidFormat("5"), stream=False).headers
    assert JSON in encoder.refusal(BadRequest("x"), stream=True).headers


def test_log_probabilities_without_rivals_have_no_list_of_them() -> None:
    assert b"top_logprobs" not in ChatEncoder("m").record(Delta("a", logprobs=(TokenLogprob(b"a", -1.0),)))
