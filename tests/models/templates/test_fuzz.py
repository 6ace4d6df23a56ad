"""Templates are programs by strangers: whatever they hold, rendering ends soon, with a text or a `TemplateError`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import thread_time

from hypothesis import given
from hypothesis import strategies as st

from models.parsers.events import ToolCall
from models.templates.chat import Message
from models.templates.errors import TemplateError
from models.templates.go.analysis import analyse
from models.templates.go.rendering import GoTemplate
from models.templates.jinja import ChatTemplate
from tests.models.fuzzing import examples
from tests.models.parsers.toolbox import tool

MAX_SECONDS = 0.1
MAX_CHARS = 16_000_000
_TESTS = Path(__file__).parents[2]

TOOLS = [tool("add", a="integer", t={"type": ["string", "null"], "enum": ["x", "<y>"]})]
CALL = ToolCall("add", {"a": 1.5, "t": None, "l": [1, {"k": "v"}]}, 0, "call_1")
MESSAGES = [
    Message("system", "Be brief."),
    Message("user", "Hi <b>"),
    Message("assistant", "", "Let me see.", tool_calls=(CALL,)),
    Message("tool", "3", tool_name="add", tool_call_id="call_1"),
    Message("user", "And é?", images=(b"1",)),
]


def _renders(render: Callable[[], str]) -> bool:
    """Whether a text comes of it; measures the thread's own time, and again, as the machine may be busy."""
    seconds = []
    for _ in range(3):
        begun = thread_time()
        try:
            text = render()
        except TemplateError as error:
            text = ""
            str(error).encode()
        seconds.append(thread_time() - begun)
        if seconds[-1] < MAX_SECONDS:
            break
    assert min(seconds) < MAX_SECONDS
    assert len(text.encode()) <= MAX_CHARS
    return bool(text)


def _vectors(suite: str, key: str) -> list[str]:
    files = (_TESTS / "conformance" / "vectors").rglob("*.json")
    vectors = (vector for file in files for vector in json.loads(file.read_text(encoding="utf-8")))
    return [v["input"][key] for v in vectors if v["suite"].startswith(suite) and v["input"].get(key)]


def _changed(texts: Sequence[str], pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Real templates with a part of them replaced."""
    return st.builds(_spliced, st.sampled_from(texts), st.floats(0, 1), st.integers(0, 60), pieces)


def _spliced(text: str, place: float, size: int, piece: str) -> str:
    start = int(place * len(text))
    return text[:start] + piece + text[start + size :]


def _program(
    blocks: Sequence[str], leaves: st.SearchStrategy[str], expressions: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    """Blocks in blocks; `X` in a block stands for an expression, `B` for what is in it."""

    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        body = st.lists(inner, max_size=3).map("".join)
        return st.builds(
            lambda b, x, y, t, u: b.replace("X", x).replace("Y", y).replace("B", t).replace("C", u),
            st.sampled_from(blocks),
            expressions,
            expressions,
            body,
            body,
        )

    return st.recursive(leaves, nested, max_leaves=12)


# ---- Go ------------------------------------------------------------------------------------------------------------

_GO_ATOMS = (
    *(".", "$", "$.Messages", ".Messages", ".Tools", ".System", ".Prompt", ".Response", ".Content", ".Role", ".Think"),
    *(".ToolCalls", ".Function.Name", ".Function.Arguments", ".Function.Parameters.Properties", ".Nope", ".Nope.Deep"),
    *(
        "$x",
        "$i",
        "$x.Content",
        '"a"',
        "`b`",
        "'c'",
        "0",
        "-1",
        "3",
        "9999999999",
        "1.5",
        "1e300",
        "0x10",
        "true",
        "nil",
    ),
)
_GO_CALLS = (
    *(
        "len X",
        "index X Y",
        "slice X Y",
        "slice X 1 2",
        "eq X Y",
        "ne X Y",
        "lt X Y",
        "gt X Y",
        "and X Y",
        "or X Y",
        "not X",
    ),
    *("print X Y", 'printf "%s %d %v %q" X Y', 'printf "%999999d%*d" X Y', "println X", "html X", "js X", "urlquery X"),
    *(
        "json X",
        "currentDate X",
        "toTypeScriptType X",
        "call X",
        "X | Y",
        "X | len",
        'X | printf "%5.1f|%x" Y',
        "(X).Role",
    ),
)
_GO_EXPRESSIONS = st.recursive(
    st.sampled_from(_GO_ATOMS),
    lambda inner: st.builds(
        lambda call, x, y: call.replace("X", f"({x})").replace("Y", f"({y})"), st.sampled_from(_GO_CALLS), inner, inner
    ),
    max_leaves=5,
)
_GO_BLOCKS = (
    *("{{ if X }}B{{ else }}C{{ end }}", "{{ if X }}B{{ else if Y }}C{{ end }}", "{{ with X }}B{{ else }}C{{ end }}"),
    *("{{ range X }}B{{ else }}C{{ end }}", "{{ range $i, $x := X }}B{{ break }}{{ end }}", "{{ $x := X }}B"),
    *("{{ range $x := X }}B{{ if Y }}{{ continue }}{{ end }}C{{ end }}", "{{- $x = X -}}B", '{{ template "t" X }}B'),
    *('{{ define "t" }}B{{ end }}C', '{{ define "t" }}{{ template "t" X }}B{{ end }}', '{{ block "t" X }}B{{ end }}'),
    *("{{ range 100000 }}B{{ end }}", "{{/* B */}}C", "{{ X }}B{{ Y }}"),
)
_GO_LEAVES = st.sampled_from(("text", " \n", "{{ .Content }}", "{{ . }}", "{", "}}", "")) | _GO_EXPRESSIONS.map(
    "{{{{ {} }}}}".format
)
_GO_PIECES = (
    _program(_GO_BLOCKS, _GO_LEAVES, _GO_EXPRESSIONS) | st.sampled_from(_GO_ATOMS + _GO_CALLS) | st.text(max_size=5)
)


def _render_go(text: str) -> str:
    analyse(text)
    return GoTemplate(text).render(MESSAGES, TOOLS)


@examples(60)
@given(_program(_GO_BLOCKS, _GO_LEAVES, _GO_EXPRESSIONS))
def test_any_go_template_ends_soon(text: str) -> None:
    _renders(partial(_render_go, text))


@examples(60)
@given(_changed(_vectors("template-", "template") + _vectors("chat-prompt", "template"), _GO_PIECES))
def test_any_change_of_a_go_template_ends_soon(text: str) -> None:
    _renders(partial(_render_go, text))


# ---- Jinja -----------------------------------------------------------------------------------------------------------

_JINJA_ATOMS = (
    *(
        "messages",
        "messages[0]",
        "message",
        "message.content",
        "message['role']",
        "tools",
        "x",
        "ns.x",
        "loop",
        "loop.index0",
    ),
    *(
        "'a'",
        "'%s'",
        "'{}'",
        "''",
        "0",
        "-1",
        "3",
        "10**9",
        "1.5",
        "true",
        "none",
        "[]",
        "[1, 'b']",
        "{'a': x}",
        "bos_token",
    ),
    *("range(5)", "range(10**6)", "undefined_name", "namespace(x=1)", "(1, 2)", "x.__class__", "self", "cycler"),
)
_JINJA_CALLS = (
    *(
        "X + Y",
        "X * Y",
        "X ** Y",
        "X ~ Y",
        "X % Y",
        "X // Y",
        "X == Y",
        "X in Y",
        "X < Y",
        "not X",
        "X and Y",
        "X or Y",
    ),
    *("X if Y else X", "X[Y]", "X[Y:]", "X[::-1]", "X.a", "X is defined", "X is mapping", "X is string", "X(Y)", "-X"),
    *("X | tojson", "X | tojson(indent=Y)", "X | join(Y)", "X | list", "X | length", "X | string", "X | indent(Y)"),
    *("X | replace('a', Y)", "X | center(Y)", "X | format(Y)", "X | map(attribute='role')", "X | selectattr('role')"),
    *(
        "X | default(Y)",
        "X | sort",
        "X | sum",
        "X | dictsort",
        "X | batch(Y)",
        "X | round(Y)",
        "X | slice(Y)",
        "X | trim",
    ),
    *("X | groupby('role')", "X | unique", "X | reverse", "X | first", "X | last", "X | items", "X | upper", "X | int"),
    *("X.items()", "X.split(Y)", "X.replace('a', Y)", "X.join(Y)", "X.format(Y)", "X.strip()", "X.startswith(Y)"),
    *("strftime_now(X)", "raise_exception(X)", "dict(a=X)", "X.append(Y)", "X.get('role')", "joiner()", "lipsum()"),
)
_JINJA_EXPRESSIONS = st.recursive(
    st.sampled_from(_JINJA_ATOMS),
    lambda inner: st.builds(
        lambda call, x, y: call.replace("X", f"({x})").replace("Y", f"({y})"),
        st.sampled_from(_JINJA_CALLS),
        inner,
        inner,
    ),
    max_leaves=6,
)
_JINJA_BLOCKS = (
    *("{% if X %}B{% elif Y %}C{% endif %}", "{% for message in X %}B{% else %}C{% endfor %}", "{% set x = X %}B"),
    *("{% for x in X if Y %}B{% if Y %}{% break %}{% endif %}{% endfor %}", "{%- set ns = namespace(x=X) -%}B"),
    *(
        "{% set ns.x = X %}B",
        "{% macro m(x) %}B{% endmacro %}{{ m(X) }}",
        "{% set x %}B{% endset %}C",
        "{% set x = x + x %}B",
    ),
    *("{% for a in range(1000) %}B{% endfor %}", "{% macro r(n) %}{{ r(n) }}B{% endmacro %}{{ r(X) }}", "{# B #}C"),
    *(
        "{% filter upper %}B{% endfilter %}",
        "{% call(x) m(X) %}B{% endcall %}",
        "{% raw %}B{% endraw %}",
        "{% generation %}B{% endgeneration %}",
    ),
    *(
        "{% for x in X recursive %}B{{ loop(X) }}{% endfor %}",
        "{% with x = X %}B{% endwith %}",
        "{% block b %}B{% endblock %}",
    ),
)
_JINJA_LEAVES = st.sampled_from(
    ("text", " \n", "{{ message.content }}", "{{ x }}", "{%", "}}", "")
) | _JINJA_EXPRESSIONS.map("{{{{ {} }}}}".format)
_JINJA_PIECES = (
    _program(_JINJA_BLOCKS, _JINJA_LEAVES, _JINJA_EXPRESSIONS)
    | st.sampled_from(_JINJA_ATOMS + _JINJA_CALLS)
    | st.text(max_size=5)
)
_JINJA_TEMPLATES = [path.read_text() for path in (Path(__file__).parent / "chat_templates").glob("*.jinja")]
_VARIABLES = {
    "messages": [{"role": message.role, "content": message.content} for message in MESSAGES],
    "tools": TOOLS,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "add_generation_prompt": True,
}


def _render_jinja(text: str) -> str:
    return ChatTemplate(text).render(_VARIABLES)


@examples(60)
@given(_program(_JINJA_BLOCKS, _JINJA_LEAVES, _JINJA_EXPRESSIONS))
def test_any_jinja_template_ends_soon(text: str) -> None:
    _renders(partial(_render_jinja, text))


@examples(20)
@given(_changed(_JINJA_TEMPLATES + _vectors("template-named", "jinja"), _JINJA_PIECES))
def test_any_change_of_a_chat_template_ends_soon(text: str) -> None:
    template = None

    def compiled() -> str:
        nonlocal template
        template = ChatTemplate(text)  # a template is compiled once, and not within the limit of a rendering
        return ""

    try:
        compiled()
    except TemplateError:
        return
    assert template is not None
    _renders(partial(template.render, _VARIABLES))
