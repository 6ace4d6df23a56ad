"""The checks themselves: all pass with a model that does everything right, each fails when its part is spoilt."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from server.cli.selftest.checking import shorten
from server.cli.selftest.command import Outcome, format_seconds, format_summary
from server.cli.selftest.embedder import make_embedder
from server.cli.selftest.table import CHECKS
from server.settings import Host
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Json, Reply
from tests.server.cli.selftest.fake_model import FakeModel

Answer = Callable[[Json], Reply]
Spoil = Callable[[Json, Answer], Reply]
"""Request and what answers it rightly → wrong answer."""


def results(stdout: str) -> dict[str, str]:
    """Check → result, from the table."""
    rows = [re.split(r" {2,}", line) for line in stdout.split("\n")[1:] if line.strip()]
    return {row[0]: row[1] for row in rows if len(row) > 2}


def test_a_good_server_passes_every_check(fake: FakeServer, puna: Puna) -> None:
    FakeModel().serve(fake)
    result = puna("selftest")
    assert set(results(result.stdout).values()) == {"ok"}, result.stdout
    assert list(results(result.stdout)) == [check.name for check in CHECKS]
    assert result.status == 0
    assert re.search(rf"\n{len(CHECKS)} passed in [\d.]+ m?s\n$", result.stdout)


def test_nothing_is_left_behind(fake: FakeServer, puna: Puna) -> None:
    model = FakeModel()
    model.serve(fake)
    puna("selftest")
    assert model.stored == {"pico:latest"}


def test_what_a_model_cannot_do_is_skipped(fake: FakeServer, puna: Puna) -> None:
    FakeModel(("completion",)).serve(fake)
    result = puna("selftest", "--model", "pico")
    assert {name for name, word in results(result.stdout).items() if word == "skip"} == {"tools", "thinking"}
    assert result.status == 0
    assert "tools            skip          0 ms    the model has no tools\n" in result.stdout


def drop(*keys: str) -> Spoil:
    def spoil(body: Json, right: Answer) -> Reply:
        reply = right(body)
        if reply.json is not None:
            return Reply(json={key: value for key, value in reply.json.items() if key not in keys})
        return Reply(lines=[{k: v for k, v in line.items() if k not in keys} for line in reply.lines or ()])

    return spoil


def say(text: str) -> Spoil:
    """All text is this one, in one piece."""

    def spoil(body: Json, right: Answer) -> Reply:
        reply = right(body)
        lines = [reply.json] if reply.lines is None else list(reply.lines)
        said = {"message": {"content": text}} if "message" in lines[-1] else {"response": text}
        return Reply(lines=[said, {"done": True, "done_reason": "stop", "eval_count": 1}])

    return spoil


def when(matches: Callable[[Json], Any], spoil: Spoil) -> Spoil:
    return lambda body, right: spoil(body, right) if matches(body) else right(body)


def always(reply: Reply) -> Spoil:
    return lambda _body, _right: reply


def option(name: str) -> Callable[[Json], Any]:
    return lambda body: name in (body.get("options") or {})


SPOILT: list[tuple[str, str, Spoil]] = [
    ("version", "GET /api/version", always(Reply(json={"version": "new"}))),
    ("show", "POST /api/show", drop("model_info")),
    ("list", "GET /api/tags", always(Reply(json={"models": []}))),
    ("generate", "POST /api/generate", drop("prompt_eval_count")),
    ("generate", "POST /api/generate", when(lambda b: b.get("stream") is False, say("I do not know."))),
    ("chat", "POST /api/chat", when(lambda b: b.get("stream") is False, say(""))),
    ("stream", "POST /api/chat", when(lambda b: option("num_predict")(b) and "stream" not in b, say("To pull"))),
    ("conversation", "POST /api/chat", when(lambda b: len(b["messages"]) > 1, say(""))),
    ("stop", "POST /api/generate", when(option("stop"), say("To pull a model, run"))),
    ("limit", "POST /api/generate", when(lambda b: b["options"]["num_predict"] == 2, say("To pull a model"))),
    ("logprobs", "POST /api/generate", drop("logprobs")),
    ("json", "POST /api/chat", when(lambda b: b.get("format") == "json", say("Puna is a server"))),
    ("json schema", "POST /api/chat", when(lambda b: isinstance(b.get("format"), dict), say('{"answer":"maybe"}'))),
    ("tools", "POST /api/chat", when(lambda b: b.get("tools"), say('<tool_call>{"name": "get_weather"}</tool_call>'))),
    ("thinking", "POST /api/chat", when(lambda b: b.get("think"), say("<think>hm</think>To pull a model"))),
    ("thinking", "POST /api/chat", when(lambda b: b.get("think"), say(""))),
    ("keep-alive", "GET /api/ps", always(Reply(json={"models": []}))),
    ("unload", "POST /api/generate", when(lambda b: not b["prompt"], always(Reply(json={"done": True})))),
    ("embeddings", "POST /api/embed", always(Reply(json={"embeddings": [[1, 0], [1, 0], [1, 0]]}))),
    ("embeddings", "POST /api/embed", always(Reply(json={"embeddings": [[3, 0], [0, 3], [3, 0]]}))),
    ("embeddings", "POST /api/embed", always(Reply(400, json={"error": "no"}))),
    ("copy, delete", "POST /api/copy", always(Reply())),
    ("copy, delete", "DELETE /api/delete", always(Reply())),
    ("create", "POST /api/create", always(Reply(lines=[{"status": "success"}, {"error": "disk full"}]))),
    ("unknown model", "POST /api/generate", when(lambda b: "no-such" in b["model"], say("Hello"))),
    ("unknown model", "POST /api/generate", when(lambda b: "no-such" in b["model"], always(Reply(500)))),
]


@pytest.mark.parametrize(("name", "route", "spoil"), SPOILT, ids=[f"{row[0]}-{i}" for i, row in enumerate(SPOILT)])
def test_a_check_fails_when_its_part_is_spoilt(
    fake: FakeServer, puna: Puna, name: str, route: str, spoil: Spoil
) -> None:
    FakeModel().serve(fake)
    right = fake.answers[route]
    assert callable(right)
    fake.answers[route] = lambda body: spoil(body or {}, right)
    result = puna("selftest")
    assert results(result.stdout)[name] == "FAIL", result.stdout
    assert result.status == 1


def test_the_same_seed_must_give_the_same_text(fake: FakeServer, puna: Puna) -> None:
    FakeModel().serve(fake)
    right = fake.answers["POST /api/generate"]
    assert callable(right)
    texts = iter(["one", "two"])

    def moody(body: Json) -> Reply:
        return say(next(texts))(body, right) if body["options"] and body["options"].get("seed") == 42 else right(body)

    fake.answers["POST /api/generate"] = moody
    result = puna("selftest")
    assert "expected 'one'; came: two" in result.stdout
    assert [name for name, word in results(result.stdout).items() if word == "FAIL"] == ["seed"]


def test_an_answer_of_another_form_is_a_failure_and_not_a_crash(fake: FakeServer, puna: Puna) -> None:
    FakeModel().serve(fake)
    fake.answers["POST /api/embed"] = Reply(json={"vectors": []})
    assert "the answer has another form: KeyError: 'embeddings'" in puna("selftest").stdout


def test_without_a_server_nothing_is_checked(puna: Puna) -> None:
    result = puna("selftest", host=Host(port=1))
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == "Error: could not connect to puna server, run 'puna serve' to start it\n"


def test_a_missing_model_is_an_error(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(404, json={"error": "model 'x:latest' not found"})
    assert puna("selftest", "--model", "x").stderr == "Error: model 'x:latest' not found\n"


def test_the_summary_counts_each_kind() -> None:
    outcomes = [Outcome("a", word, 0.1, "") for word in ("ok", "ok", "FAIL", "skip")]
    assert format_summary(outcomes, 1.234) == "\n2 passed, 1 failed, 1 skipped in 1.23 s\n"
    assert format_seconds(0.0004) == "0 ms"
    assert shorten("a\n b", 10) == "a b"
    assert shorten("x" * 50) == "x" * 39 + "…"


def test_the_embedding_model_is_the_same_each_time() -> None:
    assert make_embedder() == make_embedder()
    assert make_embedder()[:4] == b"GGUF"
