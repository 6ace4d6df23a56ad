"""The path from request to events, with a runner that says what the test wants."""

from __future__ import annotations

import array
import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from models.capabilities import PromptSource
from models.errors import BadRequest, MissingCapability, ModelNotFound, OptionTypeError, UnusableOutput, WeightsMissing
from models.gguf.facts import GGUFFacts
from models.library import ModelSpec
from models.parsers.events import Delta, DoneReason, Finished
from models.runner import messages as wire
from models.runner.messages import Chunk, Embedded, Ready, Reason
from models.runner.settings import Adapter, Thought, ThoughtBudget
from models.templates.chat import Message, Think
from registry.errors import ManifestNotFound
from registry.manifest import ModelConfig
from registry.names import ModelName
from server.formats import InvalidFormat
from server.generation import CloudDisabled, Generation, GenerationSettings
from server.placement import Devices
from server.prompting import IMAGE_TOKENS
from server.requests import ChatRequest, EmbedRequest, GenerateRequest, Rendered
from server.scheduler import Wanted

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


T = TypeVar("T")


class ScriptedRunner:
    """Says `chunks`; remembers what it was asked. A token is a byte."""

    def __init__(self, *chunks: str, n_ctx: int = 100) -> None:
        self.ready = Ready(n_ctx, n_ctx, 256, 1, 0, adds_bos=False)
        self.chunks = chunks
        self.asked: list[dict[str, Any]] = []
        self.is_closed = False
        self.n_tokenized = 0
        self.vectors: list[float] = []

    async def generate(self, prompt: str, **settings: Any) -> AsyncGenerator[Chunk | wire.Finished, None]:
        self.asked.append({"prompt": prompt, **settings})
        try:
            for text in self.chunks:
                yield Chunk(1, text)
            yield wire.Finished(1, Reason.STOP, len(prompt), 2, 3, len(self.chunks), 5)
        finally:
            self.is_closed = True

    async def tokenize(self, text: str, *, add_special: bool = False) -> tuple[int, ...]:
        self.n_tokenized += 1
        return (*(b"^" if add_special else b""), *text.encode())

    async def detokenize(self, tokens: tuple[int, ...]) -> str:
        return bytes(tokens).decode()

    async def embed(self, inputs: tuple[str, ...], **settings: Any) -> Embedded:
        self.asked.append({"inputs": inputs, **settings})
        return Embedded(1, array.array("f", self.vectors).tobytes(), len(self.vectors) // len(inputs), 7)


class OneRunner:
    """A scheduler with that runner."""

    def __init__(self, runner: ScriptedRunner) -> None:
        self.runner = runner
        self.wanted: list[Wanted] = []
        self.unloaded: list[str] = []

    @asynccontextmanager
    async def lease(self, wanted: Wanted) -> AsyncIterator[ScriptedRunner]:
        self.wanted.append(wanted)
        yield self.runner

    def unload(self, key: str) -> None:
        self.unloaded.append(key)


def spec(**changes: Any) -> ModelSpec:
    facts = GGUFFacts(architecture="llama", n_ctx_train=100, size_bytes=1000)
    base: dict[str, Any] = {
        "name": ModelName.parse("m"),
        "manifest_digest": "0" * 64,
        "modified_ns": 0,
        "config": ModelConfig(model_family="llama"),
        "weights": Path("/blobs/m"),
        "chat_template": TEMPLATE,
        "capabilities": ("completion",),
        "facts": facts,
    }
    return ModelSpec(**(base | changes))


def serving(
    runner: ScriptedRunner,
    model: ModelSpec | Exception | None = None,
    settings: GenerationSettings = GenerationSettings(),  # noqa: B008  frozen
) -> tuple[Generation, OneRunner]:
    def find(name: ModelName) -> ModelSpec:
        if isinstance(model, Exception):
            raise model
        return model or spec()

    scheduler: Any = OneRunner(runner)
    devices = Devices(host_free_bytes=2**34, host_total_bytes=2**34)
    return Generation(find, scheduler, settings, lambda: devices), scheduler


def chat(text: str = "hi", **changes: Any) -> ChatRequest:
    fields: dict[str, Any] = {"model": "m", "messages": (Message("user", text),), "arrived_ns": time.monotonic_ns()}
    return ChatRequest(**(fields | changes))


def generate(prompt: str = "hi", **changes: Any) -> GenerateRequest:
    return GenerateRequest(model="m", prompt=prompt, arrived_ns=time.monotonic_ns(), **changes)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 10))


def events(stream: AsyncGenerator[Any, None]) -> list[Any]:
    async def collect() -> list[Any]:
        return [event async for event in stream]

    return run(collect())


# --------------------------------------------------------------------------------------------------------------------


def test_a_chat_is_rendered_generated_and_counted() -> None:
    runner = ScriptedRunner("Hello", " you")
    generation, _ = serving(runner)
    told = events(generation.chat(chat()))
    assert told[:2] == [Delta("Hello"), Delta(" you")]
    assert told[2].reason is DoneReason.STOP
    assert (told[2].usage.n_prompt, told[2].usage.n_cached, told[2].usage.n_generated) == (19, 2, 2)
    assert told[2].usage.total_ns >= told[2].usage.load_ns > 0
    assert runner.asked[0]["prompt"] == "[user]hi[assistant]"


def test_the_models_system_text_stands_first_unless_the_chat_has_one() -> None:
    runner = ScriptedRunner("x")
    stored = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "a"})
    generation, _ = serving(runner, spec(system="S", messages=stored))
    events(generation.chat(chat()))
    events(generation.chat(chat(messages=(Message("system", "own"), Message("user", "hi")))))
    prompts = [asked["prompt"] for asked in runner.asked]
    assert prompts[0] == "[system]S[user]q[assistant]a[user]hi[assistant]"
    assert prompts[1] == "[user]q[assistant]a[system]own[user]hi[assistant]"


def test_options_of_the_request_override_those_of_the_model() -> None:
    runner = ScriptedRunner("x")
    generation, _ = serving(runner, spec(parameters={"stop": ["a"], "top_k": 3, "num_predict": 5}))
    events(generation.chat(chat(options={"stop": ["b"], "num_predict": -1})))
    asked = runner.asked[0]
    assert (asked["stop"], asked["sampling"].top_k, asked["n_predict"]) == (("b",), 3, 1000)


def test_old_messages_go_when_the_context_is_too_small() -> None:
    runner = ScriptedRunner("x", n_ctx=61)
    generation, _ = serving(runner)
    history = (
        Message("system", "S"),
        Message("user", "x" * 40),
        Message("assistant", "y" * 20),
        Message("user", "last"),
    )
    usage = events(generation.chat(chat(messages=history)))[-1].usage
    assert runner.asked[0]["prompt"] == "[system]S[assistant]" + "y" * 20 + "[user]last[assistant]"
    assert (usage.n_original, usage.n_dropped) == (usage.n_prompt + len("[user]" + "x" * 40), 1)
    usage = events(generation.chat(chat(messages=history, truncate=False)))[-1].usage
    assert (usage.n_original, usage.n_dropped) == (0, 0)
    assert "x" * 40 in runner.asked[1]["prompt"]


def test_images_that_go_with_old_messages_count_as_they_do_when_messages_are_chosen() -> None:
    generation, _ = serving(ScriptedRunner("x", n_ctx=1000), rendered(projectors=(Path("/eye"),)))
    history = (Message("user", "look", images=(b"png",)), Message("user", "again", images=(b"png",)))
    usage = events(generation.chat(chat(messages=history)))[-1].usage
    assert (usage.n_dropped, usage.n_original - usage.n_prompt) == (1, IMAGE_TOKENS + len("[img-0]look\n\n"))


def test_what_the_runner_cuts_counts_besides_the_messages_left_out() -> None:
    class Cutting(ScriptedRunner):
        async def generate(self, prompt: str, **settings: Any) -> AsyncGenerator[Chunk | wire.Finished, None]:
            yield wire.Finished(1, Reason.STOP, 30, 0, 1, 1, 1, n_truncated=len(prompt) + 1 - 30)

    generation, _ = serving(Cutting(n_ctx=40))
    history = (Message("user", "x" * 20), Message("user", "y" * 50))
    usage = events(generation.chat(chat(messages=history)))[-1].usage
    whole = "[user]" + "x" * 20 + "[user]" + "y" * 50 + "[assistant]"
    assert (usage.n_original, usage.n_prompt, usage.n_dropped) == (1 + len(whole), 30, 1)


@pytest.mark.parametrize("n_kept", [1, 2, 3, 150, 296, 297, 299, 300])
def test_of_a_long_chat_exactly_what_fits_is_kept_without_trying_every_length(n_kept: int) -> None:
    history = tuple(Message("user", f"{i:03}") for i in range(300))
    prompt = "".join(f"[user]{message.content}" for message in history[-n_kept:]) + "[assistant]"
    runner = ScriptedRunner("x", n_ctx=len(prompt))
    generation, _ = serving(runner)
    events(generation.chat(chat(messages=history)))
    assert runner.asked[0]["prompt"] == prompt
    assert runner.n_tokenized <= 14  # with the whole and what is left of it, which are told


def test_tokens_of_a_prompt_are_counted_with_nothing_cut() -> None:
    runner = ScriptedRunner(n_ctx=30)
    generation, scheduler = serving(runner, spec(system="S"))
    history = (Message("user", "x" * 40), Message("user", "hi"))
    prompt = "[system]S[user]" + "x" * 40 + "[user]hi[assistant]"
    assert run(generation.count_tokens(chat(messages=history))) == 1 + len(prompt)
    assert runner.asked == []
    assert run(generation.count_tokens(chat(messages=()))) == 0
    assert len(scheduler.wanted) == 1


def test_without_messages_the_model_is_loaded_or_unloaded() -> None:
    runner = ScriptedRunner()
    generation, scheduler = serving(runner)
    assert events(generation.chat(chat(messages=()))) == [Finished(DoneReason.LOAD)]
    assert events(generation.chat(chat(messages=(), keep_alive_ns=0))) == [Finished(DoneReason.UNLOAD)]
    assert events(generation.generate(generate("", keep_alive_ns=0))) == [Finished(DoneReason.UNLOAD)]
    assert len(scheduler.wanted) == 1
    assert scheduler.unloaded == ["/blobs/m"] * 2


def test_debug_shows_the_prompt_instead_of_a_reply() -> None:
    runner = ScriptedRunner()
    generation, _ = serving(runner)
    assert events(generation.chat(chat(debug_render_only=True))) == [Rendered("[user]hi[assistant]")]
    assert runner.asked == []


def test_generate_returns_the_tokens_for_the_next_turn() -> None:
    runner = ScriptedRunner("ok")
    generation, _ = serving(runner)
    told = events(generation.generate(generate("hi", system="S", context=tuple(b"before"))))
    prompt = "before[system]S[user]hi[assistant]"
    assert runner.asked[0]["prompt"] == prompt
    assert bytes(told[-1].context) == (prompt + "ok").encode()


def test_raw_prompts_are_sent_as_they_are() -> None:
    runner = ScriptedRunner("ok")
    generation, _ = serving(runner, spec(system="S"))
    told = events(generation.generate(generate("hi", raw=True)))
    assert (runner.asked[0]["prompt"], told[-1].context) == ("hi", ())


def test_a_completion_that_repeats_itself_is_abandoned_and_freed() -> None:
    runner = ScriptedRunner(*[" again"] * 100)
    generation, _ = serving(runner)
    told = events(generation.generate(generate()))
    assert len(told) == 32
    assert told[-1] == Finished(None)
    assert runner.is_closed
    assert len(events(generation.chat(chat()))) == 101  # the native path has no such guard


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


# --------------------------------------------------------------------------------------------------------------------


def embed(**changes: Any) -> EmbedRequest:
    return EmbedRequest(model="m", arrived_ns=time.monotonic_ns(), **changes)


def test_embeddings_are_rows_in_input_order() -> None:
    runner = ScriptedRunner()
    runner.vectors = [1, 0, 0, 1]
    generation, _ = serving(runner)
    answer = run(generation.embed(embed(inputs=("a", "b"))))
    assert [list(row) for row in answer.vectors] == [[1, 0], [0, 1]]
    assert answer.n_tokens == 7


def test_inputs_of_tokens_stand_for_their_text() -> None:
    runner = ScriptedRunner()
    runner.vectors = [1, 0]
    generation, _ = serving(runner)
    run(generation.embed(embed(inputs=("a", (104, 105)))))
    assert runner.asked[0]["inputs"] == ("a", "hi")


def test_fewer_dimensions_are_cut_and_made_unit_again() -> None:
    runner = ScriptedRunner()
    runner.vectors = [3, 4, 12]
    generation, _ = serving(runner)
    cut = run(generation.embed(embed(inputs=("a",), dimensions=2))).vectors[0]
    assert list(cut) == pytest.approx([0.6, 0.8])
    assert list(run(generation.embed(embed(inputs=("a",), dimensions=5))).vectors[0]) == [3, 4, 12]


def test_no_input_only_loads() -> None:
    runner = ScriptedRunner()
    generation, scheduler = serving(runner)
    assert run(generation.embed(embed())).vectors == ()
    assert (len(scheduler.wanted), runner.asked) == (1, [])


def test_vectors_that_are_no_numbers_are_refused() -> None:
    runner = ScriptedRunner()
    runner.vectors = [float("nan"), 1]
    generation, _ = serving(runner)
    with pytest.raises(UnusableOutput, match="embedding contains NaN or Inf values"):
        run(generation.embed(embed(inputs=("a",))))


def test_a_missing_embedding_model_is_told_in_other_words() -> None:
    generation, _ = serving(ScriptedRunner(), ManifestNotFound(ModelName.parse("m")))
    with pytest.raises(ModelNotFound, match='model "m" not found, try pulling it first'):
        run(generation.embed(embed(inputs=("a",))))


# --------------------------------------------------------------------------------------------------------------------


THINKING_TEMPLATE = (
    "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}[{{ .Role }}]{{ .Content }}{{ end }}"
)


def rendered(**changes: Any) -> ModelSpec:
    base: dict[str, Any] = {"template": THINKING_TEMPLATE, "prompt_source": PromptSource.GO_TEMPLATE}
    return spec(**(base | changes))


def test_thoughts_by_the_tags_of_a_go_template() -> None:
    runner = ScriptedRunner("<think>", "hm", "</think>", "yes")
    generation, _ = serving(runner, rendered(capabilities=("completion", "thinking")))
    told = events(generation.chat(chat()))
    assert told[:2] == [Delta(thinking="hm"), Delta("yes")]
    assert runner.asked[0]["prompt"] == "[user]hi"


def test_a_format_waits_for_the_thought_in_a_chat_but_not_in_a_completion() -> None:
    runner = ScriptedRunner("{}")
    generation, _ = serving(runner, rendered(capabilities=("completion", "thinking")))
    events(generation.chat(chat(format=b'"json"')))
    events(generation.chat(chat(format=b'"json"', think=Think(False))))
    events(generation.generate(generate(format=b'"json"')))
    thoughts = [asked["constraint"].thought for asked in runner.asked]
    assert thoughts == [Thought("<think>", "</think>"), None, None]


OPEN_THINK = Thought("<think>", "</think>", is_open=True)


@pytest.mark.parametrize(
    ("names", "before_answer", "alone"),
    [
        ({"parser": "cohere", "renderer": "cohere"}, Thought("<|START_THINKING|>", "<|END_THINKING|>", True), None),
        ({"parser": "gemma4", "renderer": "gemma4"}, Thought("<|channel>thought", "<channel|>"), None),
        ({"parser": "deepseek3", "renderer": "deepseek3.1"}, OPEN_THINK, None),
        ({"parser": "glimmer", "renderer": "glimmer"}, Thought(" to=", "user<|message|>", True),
         Thought(" to=self<|message|>", "<|eom|>")),
        ({"parser": "harmony"}, Thought("<|channel|>", "final<|message|>"),
         Thought("<|channel|>analysis<|message|>", "<|end|>")),
    ],
)  # fmt: skip
def test_a_format_and_a_budget_know_how_a_model_thinks(
    names: dict[str, str], before_answer: Thought, alone: Thought | None
) -> None:
    runner = ScriptedRunner("{}")
    generation, _ = serving(runner, rendered(config=ModelConfig(**names), capabilities=("completion", "thinking")))
    events(generation.chat(chat(format=b'"json"', thinking_budget=5)))
    assert runner.asked[0]["constraint"].thought == before_answer
    assert runner.asked[0]["thought_budget"].thought == (alone or before_answer)


def test_a_built_in_parser_reads_the_reply_and_sees_its_tokens() -> None:
    runner = ScriptedRunner("<think>", "hm", "</think>", "yes")
    config = ModelConfig(model_family="qwen3", parser="qwen3-thinking")
    generation, _ = serving(runner, rendered(config=config, capabilities=("completion", "thinking")))
    told = events(generation.chat(chat()))
    assert "".join(d.thinking for d in told if isinstance(d, Delta)) == "hm"
    assert "".join(d.content for d in told if isinstance(d, Delta)) == "yes"


def test_harmony_is_told_of_tools_by_names_that_it_can_say() -> None:
    runner = ScriptedRunner("<|channel|>final<|message|>ok")
    template = (
        "<|start|>{{ range .Tools }}{{ .Function.Name }}{{ end }}<|end|>{{ range .Messages }}{{ .Content }}{{ end }}"
    )
    model = rendered(
        template=template,
        prompt_source=PromptSource.HARMONY,
        config=ModelConfig(model_family="gptoss"),
        capabilities=("completion", "tools", "thinking"),
    )
    generation, _ = serving(runner, model)
    tool = {"type": "function", "function": {"name": "get-weather", "parameters": {"type": "object", "properties": {}}}}
    told = events(generation.chat(chat(tools=(tool,))))
    assert runner.asked[0]["prompt"].startswith("<|start|>get_weather<|end|>")
    assert "".join(d.content for d in told if isinstance(d, Delta)) + told[-1].delta.content == "ok"


def test_images_that_nobody_would_look_at_are_refused() -> None:
    generation, _ = serving(ScriptedRunner("x"), rendered())
    with pytest.raises(BadRequest, match="Multimodal data provided"):
        events(generation.chat(chat(messages=(Message("user", "see", images=(b"png",)),))))


# ---- thoughts, calls, variants -------------------------------------------------------------------------------------


def thinking(**changes: Any) -> ModelSpec:
    return rendered(capabilities=("completion", "thinking"), **changes)


def test_tokens_of_thoughts_are_counted() -> None:
    runner = ScriptedRunner("<think>", "h", "m", "</think>", "yes", " sir")
    generation, _ = serving(runner, thinking())
    last = events(generation.chat(chat()))[-1]
    assert (last.usage.n_thinking, last.usage.n_generated) == (3, 6)  # with the tag at their end


def test_a_reply_without_thoughts_has_no_tokens_of_them() -> None:
    generation, _ = serving(ScriptedRunner("yes", " sir"), thinking())
    assert events(generation.chat(chat()))[-1].usage.n_thinking == 0


def test_thoughts_have_the_budget_of_the_request() -> None:
    runner = ScriptedRunner("yes")
    generation, _ = serving(runner, thinking())
    events(generation.chat(chat(thinking_budget=5)))
    events(generation.chat(chat()))
    assert [asked["thought_budget"] for asked in runner.asked] == [
        ThoughtBudget(Thought("<think>", "</think>"), 5),
        None,
    ]


def test_a_model_without_thoughts_needs_no_budget() -> None:
    runner = ScriptedRunner("yes")
    generation, _ = serving(runner)
    events(generation.chat(chat(thinking_budget=5)))
    assert runner.asked[0]["thought_budget"] is None


def test_variants_have_seeds_of_their_own_if_one_is_given() -> None:
    runner = ScriptedRunner("yes")
    generation, _ = serving(runner)
    for options in ({"seed": 2**32 - 1}, {}):
        for variant in (0, 1):
            events(generation.chat(chat(options=options, variant=variant)))
    assert [asked["sampling"].seed for asked in runner.asked] == [2**32 - 1, 0, None, None]


def test_a_prompt_of_tokens_goes_to_the_runner_as_it_is() -> None:
    runner = ScriptedRunner("yes")
    generation, _ = serving(runner)
    request = generate("", prompt_tokens=(104, 105), raw=True)
    told = events(generation.generate(request))
    assert (runner.asked[0]["tokens"], runner.asked[0]["prompt"]) == ((104, 105), "")
    assert told[-1].context == ()
    assert run(generation.prompt_text(request)) == "hi"
    assert run(generation.prompt_text(generate("a text"))) == "a text"


CONSTRAINTS: list[tuple[dict[str, Any], str]] = [
    ({"grammar": 'root ::= "a"'}, "gbnf"),
    ({"grammar": "# a comment\n  other-rule  ::= [a-z]+\nroot ::= other-rule"}, "gbnf"),
    ({"grammar": 'start: "a ::= b"'}, "lark"),
    ({"regex": "a+"}, "regex"),
    ({"format": b'"json"'}, "json"),
]


@pytest.mark.parametrize(("fields", "kind"), CONSTRAINTS)
def test_what_a_reply_must_match(fields: dict[str, Any], kind: str) -> None:
    runner = ScriptedRunner("a")
    generation, _ = serving(runner)
    events(generation.chat(chat(**fields)))
    assert runner.asked[0]["constraint"].kind == kind


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
