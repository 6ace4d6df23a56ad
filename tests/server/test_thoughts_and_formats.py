"""What a reply must look like, and what of it is thought."""

from __future__ import annotations

from typing import Any

import pytest

from models.library import ModelSpec
from models.parsers.events import Delta
from models.runner.settings import Thought, ThoughtBudget
from models.templates.chat import Think
from registry.manifest import ModelConfig
from tests.server.generation_case import ScriptedRunner, chat, events, generate, rendered, serving


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
