from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from models.errors import BadRequest
from models.templates.chat import Message, Think
from models.templates.errors import InvalidChat, TemplateError, UnsupportedChat
from models.templates.native import MEDIA_MARKER, NativeModel, render_native
from models.templates.schema import parse_message, parse_tool

TEMPLATES = Path(__file__).parents[2] / "conformance" / "templates"
AGENT = (TEMPLATES / "agent.jinja").read_text()
NOW = datetime(2026, 7, 26)
MODEL = NativeModel(AGENT, "<|im_start|>", "<|im_end|>")
USER = Message("user", "Hi")
PLAIN = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"


def render(source: str, *messages: Message, think: Think | None = None, **model: Any) -> str:
    return render_native(NativeModel(source, **model), messages, think=think, now=NOW).text


def test_a_model_without_a_template_is_given_chatml() -> None:
    assert render("", Message("system", "S"), USER) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_and_calls_are_shown_in_their_order() -> None:
    parameters = {"type": "object", "properties": {"b": {}, "a": {}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    call = {"id": "c", "function": {"name": "f", "arguments": {"z": 1.0, "a": "<é>", "n": {"y": 1, "x": 2.5}}}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "content": "r", "tool_name": "f"}]  # fmt: skip
    text = render_native(MODEL, [*map(parse_message, messages)], [parse_tool(tool)]).text
    shown = {"name": "f", "description": "", "parameters": parameters}
    assert json.dumps({"type": "function", "function": shown}) in text
    assert '{"name": "f", "arguments": {"z": 1, "a": "<é>", "n": {"x": 2.5, "y": 1}}}' in text
    assert text.endswith("<tool_response>\nr\n</tool_response><|im_end|>\n<|im_start|>assistant\n")


def test_arguments_are_text_for_a_template_that_adds_them_to_text() -> None:
    source = PLAIN.replace("{% endfor %}", "{% for c in m.tool_calls %}{{ c.function.name + c.function.arguments }}"
                                           "{% endfor %}{% endfor %}", 1)  # fmt: skip
    call = parse_message({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]})
    assert render(source, USER, call, USER) == '[user:Hi][assistant:]f{"a":1}[user:Hi]>'


def test_a_system_message_joins_the_next_one_where_the_template_knows_none() -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + PLAIN
    assert render(source, Message("system", "S"), USER) == "[user:S\nHi]>"
    assert render(source, Message("system", "S")) == ">"


def test_content_is_a_list_of_parts_where_the_template_reads_nothing_else() -> None:
    source = "{% for m in messages %}{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endfor %}"
    assert render(source, USER) == "<Hi>"


def test_developer_messages_are_system_messages() -> None:
    assert render(PLAIN, Message("developer", "D"), USER) == "[system:D][user:Hi]>"


@pytest.mark.parametrize(("think", "ending"), [
    (None, "on"), (Think(True), "on"), (Think(True, "low"), "onlowlow"), (Think(False), "off")])  # fmt: skip
def test_think_reaches_the_template(think: Think | None, ending: str) -> None:
    source = (
        "{% for m in messages %}{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
        "{{ m.content }}{% endfor %}{{ 'on' if enable_thinking else 'off' }}"
        "{{ reasoning_effort }}{{ reasoning_strength }}"
    )
    assert render(source, USER, think=think).endswith(ending)


def test_thinking_is_off_for_a_template_without_thoughts() -> None:
    assert render(PLAIN + "{{ enable_thinking }}", USER) == "[user:Hi]>False"


def test_dates_are_given_in_two_forms() -> None:
    assert render("{{ date_string }}|{{ datetime }}|{{ strftime_now('%Y') }}", USER) == "26 Jul 2026|Jul 26 2026|2026"


def test_tokens_that_the_tokenizer_adds_are_not_in_the_prompt() -> None:
    source = "{{ bos_token }}" + PLAIN + "{{ eos_token }}"
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    assert render(source, USER, **tokens) == "<s>[user:Hi]></s>"
    assert render(source, USER, **tokens, adds_bos=True, adds_eos=True) == "[user:Hi]>"


def test_an_answer_is_continued() -> None:
    assert render(PLAIN, USER, Message("assistant", "Roses")) == "[user:Hi]>Roses"


def test_an_answer_of_a_thinking_model_is_continued_after_an_empty_thought() -> None:
    prompt = render_native(MODEL, [USER, Message("assistant", "Roses")], think=Think(False))
    assert prompt.text.endswith("<|im_start|>assistant\n[no-think]<think>\n\n</think>\n\nRoses")
    assert prompt.primer == "<think>\n\n</think>\n\nRoses"


def test_the_primer_is_what_the_prompt_opened() -> None:
    assert render_native(MODEL, [USER]).primer == ""
    assert render_native(MODEL, [USER], think=Think(False)).primer == "<think>\n\n</think>\n\n"
    forced = NativeModel(AGENT + "{% if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}")
    assert render_native(forced, [USER]).primer == "<think>\n"


@pytest.mark.parametrize("last", [
    [Message("assistant", "a"), Message("assistant", "b")],
    [parse_message({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]})],
])  # fmt: skip
def test_what_cannot_be_continued_is_refused(last: list[Message]) -> None:
    body = r'^\{"error":\{"code":400,"message":"Cannot .*","type":"invalid_request_error"\}\}$'
    with pytest.raises(InvalidChat, match=body):
        render(AGENT, USER, *last)


def test_images_are_refused_without_a_projector_and_marked_with_one() -> None:
    message = Message("user", "what?", images=(b"i", b"j"))
    with pytest.raises(UnsupportedChat, match="image input is not supported"):
        render(PLAIN, message)
    assert render(PLAIN, message, takes_media=True) == f"[user:what?{MEDIA_MARKER}{MEDIA_MARKER}]>"


def test_a_refusal_of_the_template_is_a_template_error() -> None:
    with pytest.raises(TemplateError, match="roles must alternate"):
        render("{% if messages|length > 1 %}{{ raise_exception('roles must alternate') }}{% endif %}", USER, USER)


def test_refusals_that_do_no_good_are_taken_out() -> None:
    source = (
        '{#<|channel|>#}{% for message in messages %}{%- if "<|channel|>analysis<|message|>" in message.content or '
        '"<|channel|>final<|message|>" in message.content %}{{ raise_exception("no") }}{% endif %}{% endfor %}ok'
    )
    assert render(source, Message("user", "<|channel|>final<|message|>")) == "ok"


def test_more_variables_reach_the_template_but_not_in_the_place_of_its_own() -> None:
    source = PLAIN + "{{ mood }}{{ bos_token }}{{ enable_thinking }}{{ tools is defined }}"
    variables = {"mood": "glad", "enable_thinking": "no", "bos_token": "x", "messages": [], "tools": [1],
                 "add_generation_prompt": False, "raise_exception": 1}  # fmt: skip
    model = NativeModel(source, "<s>")
    assert render_native(model, [USER], variables=variables).text == "[user:Hi]>glad<s>noFalse"
    assert render_native(model, [USER], think=Think(True), variables=variables).text == "[user:Hi]>glad<s>TrueFalse"


def test_variables_of_a_request_have_a_bound() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    for value in ("x" * 70_000, deep):
        with pytest.raises(BadRequest):
            render_native(NativeModel(PLAIN), [USER], variables={"v": value})
