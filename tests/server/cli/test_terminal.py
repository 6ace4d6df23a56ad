"""`puna run` in a terminal of its own: what a person types and sees."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.server.cli.fake_server import FakeServer, Reply

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
ENTER, CTRL_C, CTRL_D, CTRL_J, UP = "\r", "\x03", "\x04", "\n", "\x1b[A"
PROMPT = ">>> "
_CONTROLS = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[78=>])")


class Terminal:
    """A process whose three streams are one pseudo terminal."""

    def __init__(self, *argv: str, **variables: str) -> None:
        self._screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", *argv],
            env={"TERM": "xterm", "LANG": "C.UTF-8", "PROMPT_TOOLKIT_NO_CPR": "1", "PATH": os.defpath, **variables},
            cwd=ROOT,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(terminal)
        self.seen = ""
        self._looked_at = 0

    def wait_for(self, text: str) -> str:
        """What is written up to the text's next occurrence. Fails when it does not come."""
        end = time.monotonic() + LIMIT_S
        while (found := self.seen.find(text, self._looked_at)) < 0:
            assert time.monotonic() < end, f"{text!r} did not come after {self.seen[self._looked_at :]!r}"
            self._read(end - time.monotonic())
        part = self.seen[self._looked_at : found]
        self._looked_at = found + len(text)
        return part

    def wait_for_prompt(self) -> str:
        """What is written before the next empty prompt; typing sooner would be typing into nothing."""
        return self.wait_for(f"{PROMPT}Send a message (/? for help)")

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def wait_for_end(self) -> int:
        """The exit status, with everything that was written read."""
        while self._read(LIMIT_S):
            pass
        return self.process.wait(LIMIT_S)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._screen], [], [], max(timeout_s, 0))[0]:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.seen += _CONTROLS.sub("", data.decode("utf-8", "replace"))
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


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
