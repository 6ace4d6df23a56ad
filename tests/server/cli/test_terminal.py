"""`puna run` in a terminal of its own: what a person types and sees."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.cli.fake_server import FakeServer, Reply
from tests.server.cli.pseudo_terminal import CTRL_C, CTRL_D, CTRL_J, ENTER, LIMIT_S, PROMPT, UP, Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def start(fake: FakeServer, tmp_path: Path) -> Start:
    """`start("run", "m")` in a terminal, with a home folder of its own."""

    def run(*argv: str, **variables: str) -> Terminal:
        return Terminal(*argv, OLLAMA_HOST=f"127.0.0.1:{fake.port}", HOME=str(tmp_path), **variables)

    return run


@pytest.fixture
def model(fake: FakeServer) -> FakeServer:
    """A scripted server with a model that repeats what it is told."""

    def echo(body: dict[str, Any]) -> Reply:
        text = body["messages"][-1]["content"]
        return Reply(lines=[{"message": {"content": f"You said <{text}>"}}, {"message": {}, "done": True}])

    fake.answers |= {
        "POST /api/show": Reply(json={"details": {}, "capabilities": ["completion"]}),
        "POST /api/generate": Reply(lines=[{"done": True, "done_reason": "load"}]),
        "POST /api/chat": echo,
    }
    return fake


def prompts_of(server: FakeServer) -> list[str]:
    return [body["messages"][-1]["content"] for body in server.bodies("POST /api/chat")]


def test_a_chat_loads_the_model_answers_and_ends(model: FakeServer, start: Start, tmp_path: Path) -> None:
    with start("run", "m") as terminal:
        terminal.wait_for_prompt()
        terminal.type("hello" + ENTER)
        terminal.wait_for("You said <hello>")
        terminal.wait_for_prompt()
        terminal.type("/bye" + ENTER)
        assert terminal.wait_for_end() == 0
    assert model.calls() == ["POST /api/show", "POST /api/show", "POST /api/generate", "POST /api/chat"]
    assert (tmp_path / ".ollama" / "history").read_text() == "hello\n/bye\n"


def test_messages_may_span_lines(model: FakeServer, start: Start) -> None:
    with start("run", "m") as terminal:
        terminal.wait_for_prompt()
        terminal.type('"""one' + ENTER)
        terminal.wait_for("... Press Enter to send")
        terminal.type('two"""' + ENTER)
        terminal.wait_for("You said")
        terminal.wait_for_prompt()
        terminal.type("three" + CTRL_J + "four" + ENTER)
        terminal.wait_for("You said")
        terminal.wait_for_prompt()
        terminal.type("\x1b[200~five\nsix\x1b[201~" + ENTER)
        terminal.wait_for("You said")
    assert prompts_of(model) == ["one\ntwo", "three\nfour", "five\nsix"]


def test_ctrl_d_leaves_and_ctrl_c_tells_how_to(model: FakeServer, start: Start) -> None:
    with start("run", "m") as terminal:
        terminal.wait_for_prompt()
        terminal.type(CTRL_C)
        terminal.wait_for("Use Ctrl + d or /bye to exit.")
        terminal.wait_for_prompt()
        terminal.type("never sent" + CTRL_C)
        terminal.wait_for_prompt()
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0
    assert prompts_of(model) == []


def test_ctrl_c_forgets_a_message_that_was_begun(model: FakeServer, start: Start) -> None:
    with start("run", "m") as terminal:
        terminal.wait_for_prompt()
        terminal.type('"""never sent' + ENTER)
        terminal.wait_for("... Press Enter to send")
        terminal.type(CTRL_C)
        terminal.wait_for_prompt()
        terminal.type("sent" + ENTER)
        terminal.wait_for("You said")
    assert prompts_of(model) == ["sent"]


def test_the_history_comes_back_with_the_arrow(model: FakeServer, start: Start, tmp_path: Path) -> None:
    (tmp_path / ".ollama").mkdir()
    (tmp_path / ".ollama" / "history").write_text("older\nold\n")
    with start("run", "m") as terminal:
        terminal.wait_for_prompt()
        terminal.type(UP + ENTER)
        terminal.wait_for("You said <old>")
        terminal.wait_for_prompt()
        terminal.type(UP + UP + ENTER)
        terminal.wait_for("You said <older>")


def test_the_history_can_be_turned_off(model: FakeServer, start: Start, tmp_path: Path) -> None:
    with start("run", "m", OLLAMA_NOHISTORY="1") as terminal:
        terminal.wait_for_prompt()
        terminal.type("hello" + ENTER)
        terminal.wait_for("You said")
    assert not (tmp_path / ".ollama" / "history").exists()


def test_an_editor_takes_long_messages(model: FakeServer, start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "%s, edited\\n" "$(cat "$1")" > "$1"\n')
    editor.chmod(0o755)
    with start("run", "m", OLLAMA_EDITOR=str(editor)) as terminal:
        terminal.wait_for_prompt()
        terminal.type("draft\x07")
        terminal.wait_for("draft, edited")
        terminal.type(ENTER)
        terminal.wait_for("You said <draft, edited>")
    with start("run", "m", OLLAMA_EDITOR="no-such-editor") as terminal:
        terminal.wait_for_prompt()
        terminal.type("\x07")
        terminal.wait_for(
            'error: editor "no-such-editor" not found, set OLLAMA_EDITOR to the path of your preferred editor'
        )


def endless(*parts: str) -> Iterator[dict[str, Any]]:
    yield from ({"response": part, "message": {"content": part}} for part in parts)
    while True:
        time.sleep(0.01)  # the pace of a model, so that the client decides when it has enough
        yield {"response": ".", "message": {"content": "."}}


def test_ctrl_c_stops_a_reply_and_the_chat_goes_on(model: FakeServer, start: Start) -> None:
    echo = model.answers["POST /api/chat"]
    model.answers["POST /api/chat"] = [Reply(lines=endless("Once upon a time")), echo]  # type: ignore[list-item]
    with start("run", "m") as terminal:
        terminal.wait_for_prompt()
        terminal.type("story" + ENTER)
        terminal.wait_for("Once upon a time...")
        terminal.type(CTRL_C)
        terminal.wait_for_prompt()
        assert model.disconnects.acquire(timeout=LIMIT_S)
        terminal.type("next" + ENTER)
        terminal.wait_for("You said <next>")
    assert [message["role"] for message in model.bodies("POST /api/chat")[1]["messages"]] == ["user", "user"]


def test_ctrl_c_stops_a_single_answer_without_an_error(model: FakeServer, start: Start) -> None:
    model.answers["POST /api/generate"] = Reply(lines=endless("Once upon a time"))
    with start("run", "m", "story") as terminal:
        terminal.wait_for("Once upon a time...")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_for_end() == 0
    assert model.disconnects.acquire(timeout=LIMIT_S)
    assert "Error" not in terminal.seen and "Traceback" not in terminal.seen


def test_the_messages_of_a_model_are_replayed(model: FakeServer, start: Start) -> None:
    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
    ]
    model.answers["POST /api/show"] = Reply(json={"capabilities": ["completion"], "messages": messages})
    with start("run", "m") as terminal:
        terminal.wait_for(">>> Q\r\nA\r\n\r\n")
        terminal.wait_for_prompt()


def test_a_remote_model_is_announced(model: FakeServer, start: Start) -> None:
    show = {"capabilities": ["completion"], "remote_host": "https://ollama.com:443", "remote_model": "big"}
    model.answers |= {"POST /api/show": Reply(json=show), "POST /api/me": Reply(json={"name": "ada"})}
    with start("run", "m") as terminal:
        terminal.wait_for("Connecting to 'big' on 'ollama.com' ⚡")
        terminal.wait_for_prompt()
    assert "POST /api/generate" not in model.calls()


def test_a_cloud_model_is_offered_when_the_registry_has_no_other(model: FakeServer, start: Start) -> None:
    missing = Reply(lines=[{"error": "pull model manifest: file does not exist"}])
    model.answers["POST /api/pull"] = [missing, Reply(lines=[{"status": "success"}])]
    with start("pull", "m") as terminal:
        terminal.wait_for('Did you mean "m:cloud"?')
        terminal.type(ENTER)
        assert terminal.wait_for_end() == 0
    assert [body["name"] for body in model.bodies("POST /api/pull")] == ["m", "m:cloud"]
    model.answers["POST /api/pull"] = missing
    with start("pull", "m") as terminal:
        terminal.wait_for('Did you mean "m:cloud"?')
        terminal.type("n" + ENTER)
        assert terminal.wait_for_end() == 1
    assert "Error: pull model manifest: file does not exist" in terminal.seen


def test_a_prompt_on_the_command_line_is_no_chat(model: FakeServer, start: Start) -> None:
    model.answers["POST /api/generate"] = Reply(lines=[{"response": "hi", "done": True}])
    with start("run", "m", "hello") as terminal:
        assert terminal.wait_for_end() == 0
    assert terminal.seen.endswith("hi\r\n\r\n")
    assert PROMPT not in terminal.seen
