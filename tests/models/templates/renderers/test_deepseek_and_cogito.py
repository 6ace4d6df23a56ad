# ruff: noqa: RUF001
# The tokens of these models are written with a fullwidth bar.

from __future__ import annotations

import pytest

from models.parsers.events import ToolCall
from models.templates.chat import Message, Think
from models.templates.renderers.cogito import render_cogito
from models.templates.renderers.conversation import Conversation
from models.templates.renderers.deepseek import render_deepseek

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, CALL, RESULT = Message("user", "q"), Message("assistant", "c", tool_calls=(ToolCall("f"),)), Message("tool", "r")
PERSONA = "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab based in San Francisco."

DEEPSEEK = [
    ([], ""),
    ([USER], "<｜User｜>q<｜Assistant｜></think>"),
    ([Message("system", "a"), USER, Message("system", "b")], "a\n\nb<｜User｜>q<｜Assistant｜></think>"),
    ([USER, Message("assistant", "t</think>a</think>b")], f"<｜User｜>q<｜Assistant｜></think>a</think>b{EOS}"),
    ([RESULT, Message("assistant", "t</think>a")], f"<｜tool▁output▁begin｜>r<｜tool▁output▁end｜>t</think>a{EOS}"),
    ([RESULT, USER], "<｜tool▁output▁begin｜>r<｜tool▁output▁end｜><｜User｜>q<｜Assistant｜></think>"),
]


@pytest.mark.parametrize(("messages", "expected"), DEEPSEEK)
def test_deepseek(messages: list[Message], expected: str) -> None:
    assert render_deepseek(Conversation(messages)) == BOS + expected


def test_deepseek_opens_a_thought_before_answers_that_had_one() -> None:
    answered = [USER, Message("assistant", "a", thinking="t")]
    assert render_deepseek(Conversation(answered, think=Think(True))).endswith(f"<｜Assistant｜><think>a{EOS}")
    again = render_deepseek(Conversation([*answered, USER], think=Think(True)))
    assert f"<｜Assistant｜></think>a{EOS}" in again and again.endswith("<｜Assistant｜><think>")


COGITO = [
    ([], "<｜Assistant｜>"),
    ([USER, Message("system", "late")], "<｜User｜>q<｜Assistant｜>"),
    (
        [RESULT],
        "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>r<｜tool▁output▁end｜><｜tool▁outputs▁end｜><｜Assistant｜>",
    ),
    ([Message("assistant", "a", thinking="t")], f"a{EOS}<｜Assistant｜>"),
]


@pytest.mark.parametrize(("messages", "expected"), COGITO)
def test_cogito(messages: list[Message], expected: str) -> None:
    assert render_cogito(Conversation(messages)) == BOS + PERSONA + expected


def test_cogito_shows_results_that_follow_one_another_in_one_list() -> None:
    prompt = render_cogito(Conversation([USER, CALL, RESULT, RESULT, USER]))
    assert prompt.count("<｜tool▁outputs▁begin｜>") == prompt.count("<｜tool▁outputs▁end｜>") == 1
    assert prompt.endswith("<｜tool▁outputs▁end｜><｜User｜>q<｜Assistant｜>")


@pytest.mark.parametrize("system", ["", "Be brief."])
def test_cogito_is_told_to_think(system: str) -> None:
    prompt = render_cogito(Conversation([Message("system", system), USER], think=Think(True)))
    told = f"\n\n{system}\n\n" if system else ""
    assert prompt == f"{BOS}Enable deep thinking subroutine.\n\n{PERSONA}{told}<｜User｜>q<｜Assistant｜><think>\n"
