"""The loop of a chat: Ctrl-C ends a reply, and nowhere else the chat, whenever it comes."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.cli.conversation import Conversation
from server.cli.environment import Environment
from server.cli.main import make_client
from server.cli.repl.history import LineHistory
from server.cli.repl.interrupts import Interrupts
from server.cli.repl.loop import talk
from server.cli.repl.session import Session
from server.cli.reply import ReplyPrinter
from server.cli.terminal import Output
from server.settings import Host
from tests.server.cli.fake_server import FakeServer, Reply

REPLY = Reply(lines=({"message": {"content": "Hello"}, "done": False}, {"message": {"content": "."}, "done": True}))


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


class ScriptedKeyboard:
    """Types the lines, does something before each, and leaves."""

    def __init__(self, *lines: str, before: Callable[[], None] = lambda: None) -> None:
        self._lines: Iterator[str] = iter(lines)
        self._before = before

    def read_line(self, *, continued: bool) -> str:
        self._before()
        line = next(self._lines, None)
        if line is None:
            raise EOFError
        return line


@pytest.fixture
def session(fake: FakeServer, tmp_path: Path) -> Session:
    fake.answers["POST /api/chat"] = REPLY
    environment = Environment(Host(port=fake.port), tmp_path)
    out = Output(io.StringIO(), io.StringIO(), io.StringIO(), environment)
    return Session(make_client(environment), Conversation("m"), LineHistory(tmp_path / "history"), out)


def test_ctrl_c_while_the_prompt_comes_up_is_nothing(session: Session) -> None:
    talk(session, ScriptedKeyboard("hi", before=press_ctrl_c))
    assert [message["role"] for message in session.conversation.messages] == ["user", "assistant"]


def test_ctrl_c_within_a_reply_ends_the_reply(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplyPrinter, "show", lambda *_, **__: press_ctrl_c())
    talk(session, ScriptedKeyboard("hi", "and again"))
    assert [message["role"] for message in session.conversation.messages] == ["user", "user"]


def test_ctrl_c_just_after_a_reply_changes_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplyPrinter, "finish", lambda _: press_ctrl_c())
    talk(session, ScriptedKeyboard("hi"))
    assert [message["role"] for message in session.conversation.messages] == ["user", "assistant"]


def test_an_interrupt_comes_where_it_is_wanted_and_only_once() -> None:
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    with interrupts.taken():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt), interrupts.wanted():
            try:
                press_ctrl_c()
            finally:
                press_ctrl_c()
        press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before
