"""The prompts that requests come to, and what they lose where the context is too small."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from models.capabilities import PromptSource
from models.errors import BadRequest
from models.parsers.events import Delta
from models.runner import messages as wire
from models.runner.messages import Chunk, Reason
from models.templates.chat import Message
from registry.manifest import ModelConfig
from server.prompting import IMAGE_TOKENS
from server.requests import Rendered
from tests.server.generation_case import ScriptedRunner, chat, events, generate, rendered, run, serving, spec


def test_the_models_system_text_stands_first_unless_the_chat_has_one() -> None:
    runner = ScriptedRunner("x")
    stored = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "a"})
    generation, _ = serving(runner, spec(system="S", messages=stored))
    events(generation.chat(chat()))
    events(generation.chat(chat(messages=(Message("system", "own"), Message("user", "hi")))))
    prompts = [asked["prompt"] for asked in runner.asked]
    assert prompts[0] == "[system]S[user]q[assistant]a[user]hi[assistant]"
    assert prompts[1] == "[user]q[assistant]a[system]own[user]hi[assistant]"


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


def test_where_only_system_messages_are_old_nothing_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "server.prompting")
    runner = ScriptedRunner("x", n_ctx=20)
    generation, _ = serving(runner)
    usage = events(generation.chat(chat(messages=(Message("system", "S" * 40), Message("user", "hi")))))[-1].usage
    assert runner.asked[0]["prompt"] == "[system]" + "S" * 40 + "[user]hi[assistant]"
    assert (usage.n_dropped, runner.n_tokenized) == (0, 1)
    assert "do not fit" not in caplog.text


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


def test_a_prompt_of_tokens_goes_to_the_runner_as_it_is() -> None:
    runner = ScriptedRunner("yes")
    generation, _ = serving(runner)
    request = generate("", prompt_tokens=(104, 105), raw=True)
    told = events(generation.generate(request))
    assert (runner.asked[0]["tokens"], runner.asked[0]["prompt"]) == ((104, 105), "")
    assert told[-1].context == ()
    assert run(generation.prompt_text(request)) == "hi"
    assert run(generation.prompt_text(generate("a text"))) == "a text"
