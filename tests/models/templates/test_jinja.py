from __future__ import annotations

import tracemalloc
from datetime import datetime
from time import perf_counter, thread_time
from typing import Any

import pytest

from models.templates.errors import TemplateError, TemplateLimitExceeded
from models.templates.jinja import ChatTemplate, chat_template, render_chat_template


def render(source: str, **variables: Any) -> str:
    return ChatTemplate(source).render(variables, now=datetime(2026, 3, 4, 5, 6, 7))


LANGUAGE = [
    ("a{% if x %}\n  b\n{% endif %}\nc", {"x": 1}, "a  b\nc"),
    ("  {%- set a = 1 %} {{- a }}", {}, "1"),
    ("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}"
     "{% endfor %}", {}, "02"),
    ("{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{{ loop.length }}{% endfor %}", {"messages": ["a", "b"]},
     "0False21True2"),
    ("{{ x | tojson }}", {"x": {"b": "<é&'\">", "a": [1, 2.5, None, True]}},
     '{"b": "<é&\'\\">", "a": [1, 2.5, null, true]}'),
    ("{{ x | tojson(indent=2) }}", {"x": {"a": [1]}}, '{\n  "a": [\n    1\n  ]\n}'),
    ("{{ x | tojson(separators=(',', ':')) }}", {"x": {"a": 1, "b": 2}}, '{"a":1,"b":2}'),
    ("{{ x | tojson(ensure_ascii=True) }}", {"x": "é"}, '"\\u00e9"'),
    ("{{ x | tojson(sort_keys=true) }}", {"x": {"b": 1, "a": 2}}, '{"a": 2, "b": 1}'),
    ("{{ {'a': nothing} | tojson }}", {}, '{"a": null}'),
    ("{{ strftime_now('%d %b %Y') }}", {}, "04 Mar 2026"),
    ("{{ nothing }}{{ nothing is defined }}{{ x.y is defined }}", {"x": {}}, "FalseFalse"),
    ("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", {}, "3"),
    ("{{ x.split('</think>')[-1].lstrip('\\n') }}", {"x": "<think>a</think>\n\nb"}, "b"),
    ("{{ x['content'] | trim }}|{{ x.role }}", {"x": {"content": " c ", "role": "user"}}, "c|user"),
    ("{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}", {}, "1-21-3"),
    ("{% for k, v in x.items() %}{{ k ~ '=' ~ v }};{% endfor %}", {"x": {"b": 1, "a": "z"}}, "b=1;a=z;"),
    ("{{ 'a' + nothing + none + 1 + 2.5 }}{{ 'a' ~ none ~ 1 }}{{ nothing.deep.deeper }}", {}, "a12.5aNone1"),
    ("{% generation %}{{ 1 }}{% endgeneration %}", {}, "1"),
    ("{{ x[1:] | map(attribute='a') | join(',') }}", {"x": [{"a": 1}, {"a": 2}, {"a": 3}]}, "2,3"),
    ("{{ x | selectattr('a', 'equalto', 2) | list | length }}", {"x": [{"a": 1}, {"a": 2}]}, "1"),
    ("{{ '%s-%02d' % ('a', 3) }}{{ '{}/{b}'.format(1, b=2) }}", {}, "a-031/2"),
    ("{{ 'abc'.startswith(('x', a)) }}", {"a": "ab"}, "True"),
    ("{{ ('a', b) }}{{ [1] + [2] }}{{ 'ab' * 2 }}{{ 2 ** 3 }}{{ 7 % 4 }}", {"b": 1}, "['a', 1][1, 2]abab83"),
    ("{{ x | dictsort }}{{ [3, 1] | sort }}{{ [1, 2] | sum }}{{ [3, 4] | max }}", {"x": {"b": 1, "a": 2}},
     "[('a', 2), ('b', 1)][1, 3]34"),
    ("{{ '<b>' | e }}{{ '<b>' | safe }}{{ 'a\nb' | indent(2) }}{{ 'aXb' | replace('X', 'yy') }}", {},
     "<b><b>a\n  bayyb"),
    ("{{ (x | string)[0:2] }}{{ x is string }}{{ x is mapping }}", {"x": {"a": 1}}, "{'FalseTrue"),
    ("{{ 'items' in x }}{{ x.items is defined }}{{ x['items'] }}", {"x": {"items": 5}}, "TrueTrue5"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "variables", "text"), LANGUAGE, ids=[case[0] for case in LANGUAGE])
def test_renders_what_chat_templates_use(source: str, variables: dict[str, Any], text: str) -> None:
    assert render(source, **variables) == text


def test_halves_of_surrogate_pairs_in_literals_become_replacement_characters() -> None:
    """A row's story: such a prompt could not be sent to the runner."""
    assert render(r"{{ '\ud800' }}|{{ '\ud83d\ude00' }}") == "\ufffd|😀"
    with pytest.raises(TemplateError, match=r"^\ufffd$"):
        render(r"{{ raise_exception('\udfff') }}")


def test_a_template_can_refuse_the_messages() -> None:
    with pytest.raises(TemplateError, match=r"^Conversation roles must alternate!$"):
        render("{{ raise_exception('Conversation roles must alternate!') }}")


@pytest.mark.parametrize("path", ["''.__class__.__mro__", "self.__init__.__globals__", "raise_exception.__globals__"])
def test_python_is_out_of_reach(path: str) -> None:
    assert render("{{ " + path + " }}") == ""


REFUSED = [
    "{{ messages.append(1) }}",
    "{% set x = [] %}{{ x.append(1) }}",
    "{{ (1).to_bytes(10, 'big') }}",
    "{{ ''.encode() }}",
    "{% include 'x' %}",
    "{{ ''.__class__() }}",
    "{{ lipsum() }}",
    "{{ strftime_now('%1000000000d') }}",
    "{{ 1 / 0 }}",
    "{{ 'a' + [1] }}",
    "{{ nothing > 1 }}",
    "{{ nothing() }}",
    "{% if %}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% for a in b %}" * 200 + "{% endfor %}" * 200,
    "{% if x %}",
    "{{ " + "9" * 5000 + " }}",
    "x" * 200_000,
]


@pytest.mark.parametrize("source", REFUSED, ids=lambda source: source[:40])
def test_what_is_malformed_or_forbidden_is_a_template_error(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source, messages=[])


HOSTILE = [
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) %}{% for j in range(100000) %}padding padding padding{% endfor %}{% endfor %}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{{ range(10**9) | list }}",
    "{{ 'a' * 10**9 }}",
    "{{ [1] * 10**9 }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ 'a'.ljust(10**9) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{w}}'.format(1, w=10**9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (10**9, 1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(90) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(90) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
    "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(90) %}{% set n.x = [n.x, n.x] %}"
    "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
    "{% set b = 'a' * 1000000 %}{{ [b] * 40000 }}",
    "{% set b = 'a' * 1000000 %}{{ ([b] * 40000) | tojson }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}",
    "{% set b = 'a' * 1000000 %}{% macro f() %}{% for i in range(100000) %}{{ b }}{% endfor %}{% endmacro %}{{ f() }}",
    "{% set b = 'a' * 100000 %}{{ b | replace('a', b) }}",
    "{% set b = 'a' * 100000 %}{{ b.replace('a', b) }}",
    "{% set b = 'a' * 100000 %}{{ range(100000) | join(b) }}",
    "{% set b = 'a' * 100000 %}{{ b.join(b) }}",
    "{% set b = 'a' * 100000 %}{{ ('%(a)s' * 100000) % {'a': b} }}",
    "{% set b = 'a' * 100000 %}{{ ('{0}' * 100000).format(b) }}",
    "{{ 10 ** 10 ** 10 ** 10 ** 10 }}",
    "{% set n = namespace(x=999) %}{% for i in range(100) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "{{ 5 | round(-1000000000) }}",
    "{% set b = '\n' * 1000000 %}{{ b | indent(1000) }}",
    "{{ [1] | tojson(indent=1000000000) }}",
    "{{ [1] | batch(1000000000, 'x') | list }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ ([[1] * 100000] * 10000) | sum(start=[]) }}",
    "{{ '\t'.expandtabs(10**9) }}",
    "{% set b = 'a' * 1000000 %}" + "{% set c = b ~ 'x' %}" * 100,
    "{{ range(90000) | groupby('x') | list }}",
    "{{ ('a b ' * 10**5) | title }}",
    "{% for i in [1] recursive %}{% for j in range(100000) %}{% endfor %}{{ loop([1]) }}{% endfor %}",
]


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:60])
def test_a_hostile_template_ends_soon_and_small(source: str) -> None:
    template = ChatTemplate(source)
    seconds = []
    for _ in range(3):  # a collection of garbage may fall into one of them
        began = thread_time()
        with pytest.raises(TemplateLimitExceeded):
            template.render({"messages": []})
        seconds.append(thread_time() - began)
    assert min(seconds) < 0.1


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:60])
def test_a_hostile_template_stays_within_16_mb(source: str) -> None:
    template = ChatTemplate(source)
    tracemalloc.start()
    try:
        with pytest.raises(TemplateLimitExceeded):
            template.render({"messages": []})
        assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("source", ["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
                                    "{% block a %}{{ self.a() }}{% endblock %}"])  # fmt: skip
def test_endless_recursion_is_a_template_error(source: str) -> None:
    with pytest.raises(TemplateError, match="recursion"):
        render(source)


def test_the_budget_grows_with_the_chat() -> None:
    source = "{% set n = namespace(t='') %}{% for m in messages %}{% set n.t = n.t ~ m.content %}{% endfor %}{{ n.t }}"
    messages = [{"role": "user", "content": "x" * 20_000} for _ in range(100)]
    assert len(render(source, messages=messages)) == 2_000_000


def test_a_template_is_compiled_once() -> None:
    assert chat_template("{{ 1 }}") is chat_template("{{ 1 }}")


def test_a_long_chat_renders_within_a_few_milliseconds() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ '<u>' + m.content + '</u>' }}{% elif m['role'] == "
        "'assistant' %}{{ '<a>' + m['content'].split('</think>')[-1].lstrip('\\n') + '</a>' }}{% endif %}{% endfor %}"
    )
    messages = [{"role": ("user", "assistant")[i % 2], "content": "some words " * 20} for i in range(100)]
    chat_template(source).render({"messages": messages})
    began = perf_counter()
    chat_template(source).render({"messages": messages})
    assert perf_counter() - began < 0.05  # usually 2 ms; the limit is for a busy machine


def test_the_usual_entry_passes_tokens_tools_and_further_arguments() -> None:
    source = (
        "{{ bos_token }}{% if tools %}{{ tools[0].function.name }}{% endif %}{{ messages[0].content }}{{ eos_token }}"
        "{{ enable_thinking }}{% if add_generation_prompt %}>{% endif %}"
    )
    text = render_chat_template(
        source,
        [{"role": "user", "content": "hi"}],
        [{"type": "function", "function": {"name": "f"}}],
        bos_token="<s>",
        eos_token="</s>",
        enable_thinking=False,
    )
    assert text == "<s>fhi</s>False>"
