"""Checks of what a model says: prompts, chats, streams, sampling, formats, tools, thinking."""

from __future__ import annotations

from typing import Any

import orjson

from server.cli.selftest.checking import Reply, Subject, expect, shorten

QUESTION = "How do I pull a model?"
N_MANY = 64

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string", "description": "The name of the city"}},
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}


def generate(subject: Subject) -> str:
    """A prompt gets an answer, with counts and times."""
    reply = subject.generate(QUESTION, stream=False, think=_quiet(subject), options={"num_predict": N_MANY})
    expect(len(reply.events) == 1, "one object when nothing is streamed", len(reply.events))
    _expect_answer(subject, reply)
    for field in ("prompt_eval_count", "eval_count", "eval_duration", "total_duration"):
        expect(reply.last.get(field, 0) > 0, f"a positive {field}", reply.last.get(field))
    return shorten(reply.text)


def chat(subject: Subject) -> str:
    """A message gets an answer."""
    reply = subject.chat(QUESTION, stream=False, think=_quiet(subject), options={"num_predict": N_MANY})
    _expect_answer(subject, reply)
    return shorten(reply.text)


def _expect_answer(subject: Subject, reply: Reply) -> None:
    expect(bool((reply.text + reply.thinking).strip()), "some text", reply.text)
    expect(reply.last.get("done_reason") in ("stop", "length"), "done_reason stop or length", reply.last)
    if subject.knows_puna:
        expect("pull" in reply.text, "an answer that names `pull`", reply.text)


def stream(subject: Subject) -> str:
    """Streamed pieces add up to what comes in one piece."""
    options = {"num_predict": 16}
    whole = subject.chat(QUESTION, stream=False, think=_quiet(subject), options=options)
    pieces = subject.chat(QUESTION, think=_quiet(subject), options=options)
    expect(len(pieces.events) > 2, "several events", len(pieces.events))
    expect(pieces.text == whole.text, repr(whole.text), pieces.text)
    return f"{len(pieces.events)} events"


def conversation(subject: Subject) -> str:
    """A chat with a system message and earlier turns is answered."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": QUESTION},
    ]
    reply = Reply.of(subject.client.chat(subject.model, messages, options={"temperature": 0, "num_predict": N_MANY}))
    expect(bool((reply.text + reply.thinking).strip()), "some text", reply.text)
    return f"{reply.last.get('prompt_eval_count', 0)} prompt tokens"


def seed(subject: Subject) -> str:
    """The same seed gives the same text, at a temperature where chance decides."""
    options = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "seed": 42, "num_predict": 24}
    texts = [subject.generate("Once upon a time", options=options, think=_quiet(subject)).text for _ in range(2)]
    expect(texts[0] == texts[1], repr(texts[0]), texts[1])
    return shorten(texts[0])


def stop(subject: Subject) -> str:
    """A stop text ends the answer right before it."""
    text = subject.generate(QUESTION, options={"num_predict": 24}, think=_quiet(subject)).text
    middle = text[len(text) // 3 : len(text) // 3 + 3]
    expect(len(middle) == 3, "an answer of several characters", text)
    reply = subject.generate(QUESTION, options={"num_predict": 24, "stop": [middle]}, think=_quiet(subject))
    expect(reply.text == text[: text.index(middle)], repr(text[: text.index(middle)]), reply.text)
    expect(reply.last["done_reason"] == "stop", "done_reason stop", reply.last["done_reason"])
    return f"at {middle!r}"


def limit(subject: Subject) -> str:
    """`num_predict` ends the answer after so many tokens."""
    last = subject.generate(QUESTION, options={"num_predict": 2}, think=_quiet(subject)).last
    expect(last["done_reason"] == "length", "done_reason length", last["done_reason"])
    expect(last["eval_count"] == 2, "2 tokens", last["eval_count"])
    return "2 tokens"


def logprobs(subject: Subject) -> str:
    """Each token comes with its probability and its best rivals, the likeliest first."""
    reply = subject.generate(QUESTION, options={"num_predict": 4}, logprobs=True, top_logprobs=2)
    tokens = [token for event in reply.events for token in event.get("logprobs") or ()]
    expect(bool(tokens), "logprobs", reply.events[:1])
    for token in tokens:
        top = [rival["logprob"] for rival in token.get("top_logprobs") or ()]
        expect(len(top) == 2 and top == sorted(top, reverse=True), "2 rivals, likeliest first", top)
        expect(token["logprob"] <= 0, "a logarithm of at most 0", token["logprob"])
    return f"{len(tokens)} tokens"


def json_format(subject: Subject) -> str:
    """`format: json` gives JSON, or the beginning of it where the limit cuts it off."""
    reply = subject.chat(
        "Answer in JSON: what is Puna?", format="json", think=_quiet(subject), options={"num_predict": 128}
    )
    if reply.last["done_reason"] == "length":
        expect(reply.text.lstrip()[:1] in ("{", "["), "text that begins like JSON", reply.text)
        return "cut off by the limit"
    _parse(reply.text)
    return shorten(reply.text)


def json_schema(subject: Subject) -> str:
    """A schema as format gives exactly its fields."""
    reply = subject.chat("Can I use a GPU?", format=SCHEMA, think=_quiet(subject), options={"num_predict": 128})
    value = _parse(reply.text)
    fits = (
        isinstance(value, dict)
        and set(value) == {"answer", "sure"}
        and value["answer"] in ("yes", "no")
        and isinstance(value["sure"], bool)
    )
    expect(fits, "an object that fits the schema", value)
    return shorten(reply.text)


def _parse(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        expect(False, "JSON", text)


def tools(subject: Subject) -> str:
    """A question that an offered function answers makes the model call it."""
    reply = subject.chat("What is the weather in Paris?", tools=[WEATHER], think=_quiet(subject))
    expect(len(reply.tool_calls) == 1, "one call", reply.text or reply.tool_calls)
    function = reply.tool_calls[0]["function"]
    expect(function["name"] == "get_weather", "a call of get_weather", function["name"])
    expect(isinstance(function["arguments"].get("city"), str), "a city", function["arguments"])
    return orjson.dumps(function["arguments"]).decode()


def thinking(subject: Subject) -> str:
    """Thinking comes apart from the answer when it is asked for, and not at all when it is not wanted."""
    reply = subject.chat(QUESTION, think=True)
    expect(bool(reply.thinking.strip()), "thinking", reply.text)
    expect(bool(reply.text.strip()), "an answer after the thinking", reply.last)
    expect("<think>" not in reply.text and "</think>" not in reply.text, "an answer without tags", reply.text)
    silent = subject.chat(QUESTION, think=False)
    expect(not silent.thinking, "no thinking", silent.thinking)
    return shorten(reply.thinking)


def _quiet(subject: Subject) -> bool | None:
    """For checks of the answer alone: no thinking where the model could think."""
    return False if "thinking" in subject.capabilities else None
