"""`puna run` with a prompt: what is asked, what is printed."""

from __future__ import annotations

from typing import Any

import pytest

from server.cli.conversation import parse_keep_alive, parse_think
from server.cli.errors import UsageError
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Reply

Json = dict[str, Any]

COMPLETION = Reply(json={"details": {}, "capabilities": ["completion"]})
THINKING = Reply(json={"details": {}, "capabilities": ["completion", "thinking"]})
LAST = {
    "response": "",
    "done": True,
    "done_reason": "stop",
    "total_duration": 1_234_567_000,
    "load_duration": 350_200_000,
    "prompt_eval_count": 7,
    "prompt_eval_duration": 11_000_000,
    "eval_count": 3,
    "eval_duration": 13_000_000,
}


def reply(*parts: str, **last: Any) -> Reply:
    return Reply(lines=[*({"response": part, "done": False} for part in parts), LAST | last])


def scripted(fake: FakeServer, *parts: str, show: Reply = COMPLETION) -> None:
    fake.answers |= {"POST /api/show": show, "POST /api/generate": reply(*parts)}


def test_a_prompt_is_answered_and_followed_by_two_newlines(fake: FakeServer, puna: Puna) -> None:
    scripted(fake, "Hel", "lo!")
    result = puna("run", "m", "say", "hello")
    assert (result.status, result.stdout) == (0, "Hello!\n\n")
    assert fake.calls() == ["POST /api/show", "POST /api/generate"]
    assert fake.bodies("POST /api/generate") == [
        {"model": "m", "prompt": "say hello", "suffix": "", "system": "", "template": "", "options": {}}
    ]


@pytest.mark.parametrize(
    ("stdin", "argv", "prompt"),
    [
        ("", ["why"], "why"),
        ("piped\n", [], "piped\n"),
        ("piped\n", ["why", "not"], "piped\n why not"),
        ("", [], ""),
    ],
)
def test_what_is_piped_in_comes_before_the_arguments(
    fake: FakeServer, puna: Puna, stdin: str, argv: list[str], prompt: str
) -> None:
    scripted(fake, "x")
    result = puna("run", "m", *argv, stdin=stdin)
    assert fake.bodies("POST /api/generate")[0]["prompt"] == prompt
    assert result.stdout.endswith("x\n\n" if prompt else "x")


@pytest.mark.parametrize(
    ("argv", "fields"),
    [
        (["--format", "json"], {"format": "json"}),
        (["--format", '{"type": "object"}'], {"format": {"type": "object"}}),
        (["--keepalive", "5m"], {"keep_alive": "5m0s"}),
        (["--keepalive=-1m"], {"keep_alive": -1}),
        (["--keepalive", "0"], {"keep_alive": "0s"}),
        (["--think"], {"think": True}),
        (["--think=false"], {"think": False}),
        (["--think=high"], {"think": "high"}),
        (["--hidethinking"], {}),
        (["--nowordwrap"], {}),
    ],
)
def test_flags_become_fields_of_the_request(
    fake: FakeServer, puna: Puna, argv: list[str], fields: dict[str, Any]
) -> None:
    scripted(fake)
    puna("run", "m", "x", *argv)
    fixed = {"model": "m", "prompt": "x", "suffix": "", "system": "", "template": "", "options": {}}
    assert fake.bodies("POST /api/generate") == [fixed | fields]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--think=hard"], 'invalid value for --think: "hard" (must be true, false, high, medium, low, or max)'),
        (["--keepalive", "5"], 'time: missing unit in duration "5"'),
        (["--keepalive", "soon"], 'time: invalid duration "soon"'),
    ],
)
def test_impossible_values_are_refused_before_anything_is_asked(
    fake: FakeServer, puna: Puna, argv: list[str], text: str
) -> None:
    result = puna("run", "m", "x", *argv)
    assert (result.status, result.stderr) == (1, f"Error: {text}\n")
    assert fake.calls() == []


def test_a_format_must_be_json(fake: FakeServer, puna: Puna) -> None:
    scripted(fake)
    result = puna("run", "m", "x", "--format", "yaml")
    assert result.status == 1
    assert 'Error: invalid format "yaml": expected json or a JSON schema: ' in result.stderr
    assert fake.calls() == ["POST /api/show"]


def test_a_bare_think_takes_no_argument(fake: FakeServer, puna: Puna) -> None:
    scripted(fake)
    puna("run", "m", "--think", "high")
    (body,) = fake.bodies("POST /api/generate")
    assert (body["prompt"], body["think"]) == ("high", True)


def test_a_model_that_can_think_does(fake: FakeServer, puna: Puna) -> None:
    scripted(fake, show=THINKING)
    puna("run", "m", "x")
    puna("run", "m", "x", "--think=false")
    assert [body["think"] for body in fake.bodies("POST /api/generate")] == [True, False]


THOUGHT: list[Json] = [
    {"response": "", "thinking": "hm"},
    {"response": "", "thinking": "m"},
    {"response": "Yes"},
    {"response": ".", "done": True},
]


def test_thinking_is_printed_between_its_marks(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/show": THINKING, "POST /api/generate": Reply(lines=THOUGHT)}
    assert puna("run", "m", "x").stdout == "Thinking...\nhmm\n...done thinking.\n\nYes.\n\n"
    assert puna("run", "m", "x", "--hidethinking").stdout == "Yes.\n\n"


@pytest.mark.parametrize(
    ("parts", "stdout"),
    [
        (["<think>\nhm", "\n</think>\n\nYes."], "Thinking...\nhm\n...done thinking.\n\nYes.\n\n"),
        (["<th", "ink>hm</th", "ink>Yes."], "Thinking...\nhm\n...done thinking.\n\nYes.\n\n"),
        (["Yes, <think>no</think>."], "Yes, <think>no</think>.\n\n"),
        (["<thin"], "<thin\n\n"),
        ([" ", "\n", "Yes"], " \nYes\n\n"),
        (["\n<think>hm</think>", "\n\n", "Yes"], "Thinking...\nhm\n...done thinking.\n\nYes\n\n"),
        (["<think>hm"], "Thinking...\nhm\n\n"),
    ],
)
def test_thoughts_that_the_server_leaves_in_the_text_are_told_apart(
    fake: FakeServer, puna: Puna, parts: list[str], stdout: str
) -> None:
    scripted(fake, *parts, show=THINKING)
    assert puna("run", "m", "x").stdout == stdout
    assert puna("run", "m", "x", "--think=false").stdout == "".join(parts) + "\n\n"


def test_calls_of_functions_are_told(fake: FakeServer, puna: Puna) -> None:
    call = {"function": {"name": "f", "arguments": {"city": "Paris", "n": 1.0}}}
    fake.answers |= {"POST /api/show": COMPLETION, "POST /api/generate": Reply(lines=[{"tool_calls": [call, call]}])}
    line = '  Model called a non-existent function \'f()\' with arguments: {"city":"Paris","n":1}'
    assert puna("run", "m", "x").stdout == f"{line}\n{line}\n\n"


def test_words_wrap_also_into_a_pipe(fake: FakeServer, puna: Puna) -> None:
    scripted(fake, "word " * 14, "toolong")
    assert puna("run", "m", "x").stdout == "word " * 14 + "toolo\x1b[5D\x1b[K\ntoolong\n\n"
    scripted(fake, "word " * 14, "toolong")
    assert puna("run", "m", "x", "--nowordwrap").stdout == "word " * 14 + "toolong\n\n"


def test_verbose_prints_counts_and_rates(fake: FakeServer, puna: Puna) -> None:
    scripted(fake, "x")
    assert puna("run", "m", "x", "--verbose").stderr.endswith(
        "total duration:       1.234567s\n"
        "load duration:        350.2ms\n"
        "prompt eval count:    7 token(s)\n"
        "prompt eval duration: 11ms\n"
        "prompt eval rate:     636.36 tokens/s\n"
        "eval count:           3 token(s)\n"
        "eval duration:        13ms\n"
        "eval rate:            230.77 tokens/s\n"
    )


def test_verbose_prints_what_the_context_had_no_room_for(fake: FakeServer, puna: Puna) -> None:
    last = {"done": True, "eval_count": 2, "truncated": True, "prompt_original_count": 900, "prompt_kept_count": 60}
    last |= {"dropped_messages_count": 4, "shifted_count": 30, "done_detail": "context"}
    fake.answers |= {"POST /api/show": COMPLETION, "POST /api/generate": Reply(lines=[last])}
    assert puna("run", "m", "x", "--verbose").stderr.endswith(
        "eval count:           2 token(s)\n"
        "prompt before cut:    900 token(s)\n"
        "messages dropped:     4 message(s)\n"
        "shifted out:          30 token(s)\n"
        "ended by:             the full context\n"
    )


def test_verbose_leaves_out_what_is_zero(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/show": COMPLETION, "POST /api/generate": Reply(lines=[{"done": True, "eval_count": 2}])}
    assert puna("run", "m", "x", "--verbose").shown.strip("⠋ ") == "eval count:           2 token(s)\n"


def test_a_missing_model_is_pulled(fake: FakeServer, puna: Puna) -> None:
    scripted(fake, "hi")
    fake.answers["POST /api/show"] = [Reply(404, json={"error": "model 'm:latest' not found"}), COMPLETION]
    fake.answers["POST /api/pull"] = Reply(lines=[{"status": "pulling manifest"}, {"status": "success"}])
    result = puna("run", "m", "x", "--insecure")
    assert result.stdout == "hi\n\n"
    assert fake.calls() == ["POST /api/show", "POST /api/pull", "POST /api/show", "POST /api/generate"]
    assert fake.bodies("POST /api/pull")[0]["insecure"] is True
    assert fake.bodies("POST /api/show")[0]["model"] == "m"


def test_a_model_that_cannot_be_pulled_is_the_error(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(404, json={"error": "model 'm:latest' not found"}),
        "POST /api/pull": Reply(lines=[{"error": "pull model manifest: file does not exist"}]),
    }
    result = puna("run", "m", "x")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.endswith("Error: pull model manifest: file does not exist\n")


def test_other_failures_of_show_are_not_answered_with_a_pull(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(400, json={"error": "invalid model name"})
    assert puna("run", "m", "x").stderr == "Error: invalid model name\n"
    assert fake.calls() == ["POST /api/show"]


def test_an_error_in_the_middle_of_a_reply_ends_it(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": COMPLETION,
        "POST /api/generate": Reply(lines=[{"response": "a"}, {"error": "b"}]),
    }
    result = puna("run", "m", "x")
    assert (result.status, result.stdout) == (1, "a")
    assert result.stderr.endswith("Error: b\n")


# ---- embeddings

EMBEDDING = Reply(json={"details": {}, "capabilities": ["embedding"]})


def test_an_embedding_model_prints_a_vector(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/show": EMBEDDING, "POST /api/embed": Reply(json={"embeddings": [[0.1, -1, 1e-7, 0]]})}
    assert puna("run", "e", "text", stdin="more ").stdout == "[0.1,-1,1e-7,0]\n"
    assert fake.bodies("POST /api/embed") == [{"model": "e", "input": "more  text", "options": None}]


@pytest.mark.parametrize(
    ("argv", "fields"),
    [
        (["--truncate"], {"truncate": True}),
        (["--truncate=false"], {"truncate": False}),
        (["--dimensions", "16"], {"dimensions": 16}),
        (["--keepalive", "1h"], {"keep_alive": "1h0m0s"}),
    ],
)
def test_embedding_flags_become_fields(fake: FakeServer, puna: Puna, argv: list[str], fields: Json) -> None:
    fake.answers |= {"POST /api/show": EMBEDDING, "POST /api/embed": Reply(json={"embeddings": [[1]]})}
    puna("run", "e", "text", *argv)
    assert fake.bodies("POST /api/embed") == [{"model": "e", "input": "text", "options": None} | fields]


def test_an_embedding_model_needs_text(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = EMBEDDING
    assert puna("run", "e").stderr == (
        'Error: embedding models require input text. Usage: puna run e "your text here"\n'
    )


# ---- the cloud


def test_a_cloud_model_without_an_account_tells_the_way_to_one(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(json={"capabilities": ["completion"], "remote_host": "https://ollama.com:443"}),
        "GET /api/tags": Reply(json={"models": [{"name": "m:cloud"}]}),
        "POST /api/generate": Reply(401, json={"error": "unauthorized", "signin_url": "https://sign/in"}),
    }
    result = puna("run", "m:cloud", "x")
    assert (result.status, result.stdout) == (
        0,
        "You need to be signed in to Ollama to run Cloud models.\n\n"
        "If your browser did not open, navigate to:\n    https://sign/in\n\n",
    )
    assert fake.calls() == ["POST /api/show", "GET /api/tags", "POST /api/generate"]


def test_a_cloud_model_that_is_not_listed_is_pulled_as_a_stub(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(json={"capabilities": ["completion"]}),
        "GET /api/tags": Reply(json={"models": []}),
        "POST /api/pull": Reply(lines=[{"error": "no"}]),
        "POST /api/generate": reply("hi"),
    }
    assert puna("run", "m:7b-cloud", "x").stdout == "hi\n\n"
    assert fake.bodies("POST /api/pull")[0]["name"] == "m:7b-cloud"


def test_models_that_draw_are_refused(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(json={"capabilities": ["image"]})
    assert puna("run", "m", "x").stderr == "Error: image generation models are not currently supported\n"


# ---- values


def test_keep_alive_is_written_as_go_does() -> None:
    table = {"": None, "90s": "1m30s", "1.5h": "1h30m0s", "-1ns": -1, "100ms": "100ms", "0s": "0s"}
    assert {text: parse_keep_alive(text) for text in table} == table


def test_think_is_a_flag_or_a_level() -> None:
    assert [parse_think(text) for text in ("", "true", "false", "low", "max")] == [True, True, False, "low", "max"]
    with pytest.raises(UsageError):
        parse_think("True")
