"""The path from request to events, with a runner that says what the test wants."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from models.errors import BadRequest, MissingCapability, ModelNotFound, OptionTypeError, WeightsMissing
from models.parsers.events import Delta, DoneReason, Finished
from models.runner.messages import Chunk, TokenLogprob
from models.runner.settings import Adapter
from models.templates.chat import Think
from registry.errors import ManifestNotFound
from registry.names import ModelName
from server.formats import InvalidFormat
from server.generation import CloudDisabled
from server.requests import ChatRequest, EmbedRequest, GenerateRequest
from tests.server.generation_case import ScriptedRunner, chat, events, generate, run, serving, spec


def test_a_chat_is_rendered_generated_and_counted() -> None:
    runner = ScriptedRunner("Hello", " you")
    generation, _ = serving(runner)
    told = events(generation.chat(chat()))
    assert told[:2] == [Delta("Hello"), Delta(" you")]
    assert told[2].reason is DoneReason.STOP
    assert (told[2].usage.n_prompt, told[2].usage.n_cached, told[2].usage.n_generated) == (19, 2, 2)
    assert told[2].usage.total_ns >= told[2].usage.load_ns > 0
    assert runner.asked[0]["prompt"] == "[user]hi[assistant]"


def test_options_of_the_request_override_those_of_the_model() -> None:
    runner = ScriptedRunner("x")
    generation, _ = serving(runner, spec(parameters={"stop": ["a"], "top_k": 3, "num_predict": 5}))
    events(generation.chat(chat(options={"stop": ["b"], "num_predict": -1})))
    asked = runner.asked[0]
    assert (asked["stop"], asked["sampling"].top_k, asked["n_predict"]) == (("b",), 3, 1000)


def test_without_messages_the_model_is_loaded_or_unloaded() -> None:
    runner = ScriptedRunner()
    generation, scheduler = serving(runner)
    assert events(generation.chat(chat(messages=()))) == [Finished(DoneReason.LOAD)]
    assert events(generation.chat(chat(messages=(), keep_alive_ns=0))) == [Finished(DoneReason.UNLOAD)]
    assert events(generation.generate(generate("", keep_alive_ns=0))) == [Finished(DoneReason.UNLOAD)]
    assert len(scheduler.wanted) == 1
    assert scheduler.unloaded == ["/blobs/m"] * 2


def test_a_completion_that_repeats_itself_is_abandoned_and_freed() -> None:
    runner = ScriptedRunner(*[" again"] * 100)
    generation, _ = serving(runner)
    told = events(generation.generate(generate()))
    assert len(told) == 32
    assert told[-1] == Finished(None)
    assert runner.is_closed
    assert len(events(generation.chat(chat()))) == 101  # the native path has no such guard


def test_a_prompt_that_is_scored_is_no_reply_that_repeats_itself() -> None:
    scored = Chunk(1, "", (TokenLogprob(b"a", -1.0),), n_tokens=0)
    runner = ScriptedRunner(*[scored] * 100, "reply")
    generation, _ = serving(runner)
    told = events(generation.generate(generate(raw=True, n_logprobs=0, scores_prompt=True)))
    assert [len(event.logprobs) for event in told[:100]] == [1] * 100
    assert told[100] == Delta("reply") and told[101].reason is DoneReason.STOP


@pytest.mark.parametrize(("num_predict", "n_predict"), [(0, 0), (5, 5), (None, 1000)])
def test_nothing_need_be_said_where_a_prompt_is_scored(num_predict: int | None, n_predict: int) -> None:
    runner = ScriptedRunner()
    generation, _ = serving(runner, spec(parameters={"num_predict": 0}))
    options = {} if num_predict is None else {"num_predict": num_predict}
    events(generation.generate(generate(scores_prompt=True, options=options)))
    events(generation.generate(generate(options={"num_predict": 0})))
    assert [asked["n_predict"] for asked in runner.asked] == [n_predict, 1000]


def test_a_reader_that_leaves_frees_the_slot() -> None:
    async def work() -> None:
        runner = ScriptedRunner("a", "b")
        generation, _ = serving(runner)
        async with aclosing(generation.chat(chat())) as stream:
            await anext(stream)
        assert runner.is_closed

    run(work())


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (ManifestNotFound(ModelName.parse("m")), ModelNotFound, "model 'm' not found"),
        (WeightsMissing(Path("/x")), ModelNotFound, 'model "m" not found, try pulling it first'),
    ],
)
def test_a_model_that_is_not_there(model: Exception, error: type[Exception], text: str) -> None:
    generation, _ = serving(ScriptedRunner(), model)
    with pytest.raises(error) as raised:
        events(generation.chat(chat()))
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("a b", BadRequest, "invalid model name"),
        ("", ModelNotFound, "model '' not found"),
        ("m:cloud", CloudDisabled, "ollama cloud is disabled: remote model is unavailable"),
    ],
)
def test_names_that_no_model_can_have(name: str, error: type[Exception], text: str) -> None:
    generation, _ = serving(ScriptedRunner())
    with pytest.raises(error) as raised:
        events(generation.chat(chat(model=name)))
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (chat(think=Think(True)), MissingCapability, '"m" does not support thinking'),
        (
            chat(tools=({"type": "function"},)),
            MissingCapability,
            "registry.ollama.ai/library/m:latest does not support tools",
        ),
        (chat(options={"top_k": "x"}), OptionTypeError, 'option "top_k" must be of type integer'),
        (
            chat(format=b'"xml"'),
            InvalidFormat,
            'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
        ),
    ],
)
def test_what_a_model_cannot_do_is_refused(request_: ChatRequest, error: type[Exception], text: str) -> None:
    generation, _ = serving(ScriptedRunner("x"))
    with pytest.raises(error) as raised:
        events(generation.chat(request_))
    assert str(raised.value) == text


def test_thinking_may_be_wanted_only_of_a_model_that_can() -> None:
    generation, _ = serving(ScriptedRunner("x"))
    assert events(generation.chat(chat(think=Think(True), think_if_able=True)))[0] == Delta("x")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (generate(suffix="x"), "registry.ollama.ai/library/m:latest does not support insert"),
        (generate(raw=True, system="x"), "raw mode does not support template, system, or context"),
    ],
)
def test_what_generate_refuses(request_: GenerateRequest, text: str) -> None:
    generation, _ = serving(ScriptedRunner("x"))
    with pytest.raises(BadRequest) as raised:
        events(generation.generate(request_))
    assert str(raised.value) == text


def test_an_embedding_model_does_not_chat_whatever_else_is_asked() -> None:
    generation, _ = serving(ScriptedRunner(), spec(capabilities=("embedding",)))
    with pytest.raises(MissingCapability, match='"m" does not support chat'):
        events(generation.chat(chat(think=Think(True))))


def test_variants_have_seeds_of_their_own_if_one_is_given() -> None:
    runner = ScriptedRunner("yes")
    generation, _ = serving(runner)
    for options in ({"seed": 2**32 - 1}, {}):
        for variant in (0, 1):
            events(generation.chat(chat(options=options, variant=variant)))
    assert [asked["sampling"].seed for asked in runner.asked] == [2**32 - 1, 0, None, None]


TWO_ADAPTERS = spec(adapters=(Path("/blobs/x"), Path("/blobs/y")))


@pytest.mark.parametrize(
    ("options", "adapters"),
    [
        ({}, (Adapter("/blobs/x"), Adapter("/blobs/y"))),
        ({"lora": [{"id": 1, "scale": 0.5}]}, (Adapter("/blobs/y", 0.5),)),
        ({"lora": ["0=2", "1=-1"]}, (Adapter("/blobs/x", 2.0), Adapter("/blobs/y", -1.0))),
        ({"lora": []}, ()),
    ],
    ids=["as the model has them", "one", "both", "none"],
)
def test_a_request_computes_with_the_models_adapters(options: dict[str, Any], adapters: tuple[Adapter, ...]) -> None:
    runner = ScriptedRunner("x")
    runner.vectors = [1.0]
    generation, scheduler = serving(runner, TWO_ADAPTERS)
    events(generation.chat(chat(options=options)))
    events(generation.generate(generate(options=options)))
    run(generation.embed(EmbedRequest(model="m", inputs=("a",), options=options)))
    assert [asked["adapters"] for asked in runner.asked] == [adapters] * 3
    assert [wanted.config.adapters for wanted in scheduler.wanted] == [("/blobs/x", "/blobs/y")] * 3


@pytest.mark.parametrize("number", [2, -1, 2**63])
def test_an_adapter_that_the_model_lacks_is_refused_before_anything_is_loaded(number: int) -> None:
    generation, scheduler = serving(ScriptedRunner(), TWO_ADAPTERS)
    with pytest.raises(BadRequest, match="lora: there is no adapter"):
        events(generation.generate(generate(options={"lora": [{"id": number, "scale": 1}]})))
    assert scheduler.wanted == []


def test_adapters_and_projectors_count_as_memory(tmp_path: Path) -> None:
    for name, n in (("x", 1000), ("y", 200), ("eye", 30)):
        (tmp_path / name).write_bytes(b"0" * n)
    plain, plain_scheduler = serving(ScriptedRunner("x"))
    events(plain.chat(chat()))
    files = {"adapters": (tmp_path / "x", tmp_path / "y"), "projectors": (tmp_path / "eye",)}
    generation, scheduler = serving(ScriptedRunner("x"), spec(**files))
    events(generation.chat(chat()))
    (without,), (wanted,) = plain_scheduler.wanted, scheduler.wanted
    assert wanted.adapter_bytes == (1000, 200)
    assert wanted.need.weights_bytes - without.need.weights_bytes == 1230
