"""Slash commands against a scripted server: what is asked, what is said, what the conversation becomes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from server.cli.conversation import Conversation
from server.cli.environment import Environment
from server.cli.errors import CliError
from server.cli.main import make_client
from server.cli.repl.commands import Next, run_command, save_request
from server.cli.repl.history import LineHistory
from server.cli.repl.loop import send
from server.cli.repl.session import Session
from server.cli.repl.variables import set_system
from server.cli.terminal import Output
from server.settings import Host
from tests.server.cli.fake_server import FakeServer, Reply

Json = dict[str, Any]
SHOWN: Json = {
    "license": "MIT",
    "modelfile": "FROM x",
    "parameters": "stop    x\nnum_ctx 4",
    "template": "T",
    "system": "S",
    "details": {"family": "llama"},
    "capabilities": ["completion", "thinking"],
}


@pytest.fixture
def session(fake: FakeServer, tmp_path: Path) -> Session:
    environment = Environment(Host(port=fake.port), tmp_path)
    out = Output(io.StringIO(), io.StringIO(), io.StringIO(), environment)
    return Session(make_client(environment), Conversation("m"), LineHistory(tmp_path / "history"), out)


def said(session: Session) -> str:
    assert isinstance(session.out.stdout, io.StringIO)
    return session.out.stdout.getvalue()


def complained(session: Session) -> str:
    assert isinstance(session.out.stderr, io.StringIO)
    return session.out.stderr.getvalue()


@pytest.mark.parametrize("line", ["/bye", "/exit", "/bye now", "/exitx"])
def test_leaving(session: Session, line: str) -> None:
    assert run_command(session, line) is Next.LEAVE


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/nope x", "Unknown command '/nope'. Type /? for help\n"),
        ("/", "Unknown command '/'. Type /? for help\n"),
        ("/set nope", "Unknown command '/set nope'. Type /? for help\n"),
        ("/load", "Usage:\n  /load <modelname>\n"),
        ("/load a b", "Usage:\n  /load <modelname>\n"),
        ("/save", "Usage:\n  /save <modelname>\n"),
        ("/set wordwrap", "Set 'wordwrap' mode.\n"),
        ("/set nowordwrap", "Set 'nowordwrap' mode.\n"),
        ("/set verbose", "Set 'verbose' mode.\n"),
        ("/set quiet", "Set 'quiet' mode.\n"),
        ("/set format json", "Set format to 'json' mode.\n"),
        ("/set format yaml", "Invalid or missing format. For 'json' mode use '/set format json'\n"),
        ("/set format", "Invalid or missing format. For 'json' mode use '/set format json'\n"),
        ("/set noformat", "Disabled format.\n"),
        ("/set history", ""),
        ("/set nohistory", ""),
        ("/set parameter top_k 5", "Set parameter 'top_k' to '5'\n"),
        ("/set parameter stop a b", "Set parameter 'stop' to 'a, b'\n"),
        ("/set parameter top_k x", 'Couldn\'t set parameter: "invalid int value [x]"\n'),
        ("/set parameter nope 1", "Couldn't set parameter: \"unknown parameter 'nope'\"\n"),
        ("/clear", "Cleared session context\n"),
    ],
)
def test_what_commands_say(session: Session, line: str, text: str) -> None:
    assert run_command(session, line) is Next.READ
    assert (said(session), complained(session)) == (text, "")


@pytest.mark.parametrize("line", ["/?", "/help", "/? set", "/? /show", "/help shortcuts", "/set", "/show"])
def test_help_goes_to_standard_error(session: Session, line: str) -> None:
    assert run_command(session, line) is Next.READ
    assert said(session) == ""
    assert complained(session).startswith("Available ")


def test_parameters_help_when_the_value_is_missing(session: Session) -> None:
    run_command(session, "/set parameter top_k")
    assert complained(session).startswith("Available Parameters:\n  /set parameter seed <int>")


def test_help_for_an_unknown_topic_says_nothing(session: Session) -> None:
    run_command(session, "/? nope")
    assert (said(session), complained(session)) == ("", "")


def test_settings_change_the_conversation(session: Session) -> None:
    for line in (
        "/set nowordwrap",
        "/set verbose",
        "/set format json",
        "/set nohistory",
        "/set parameter temperature 0.5",
        "/set parameter stop a b",
        "/set parameter num_ctx 8",
    ):
        run_command(session, line)
    conversation = session.conversation
    assert (conversation.wraps, conversation.verbose, conversation.format) == (False, True, "json")
    assert conversation.options == {"temperature": 0.5, "stop": ["a", "b"], "num_ctx": 8}
    assert not session.history.enabled


@pytest.mark.parametrize(
    ("line", "think", "text"),
    [
        ("/set think", True, "Set 'think' mode.\n"),
        ("/set think high", "high", "Set 'think' mode to 'high'.\n"),
        ("/set nothink", False, "Set 'nothink' mode.\n"),
    ],
)
def test_thinking_can_be_chosen(fake: FakeServer, session: Session, line: str, think: object, text: str) -> None:
    fake.answers["POST /api/show"] = Reply(json=SHOWN)
    run_command(session, line)
    assert (session.conversation.think, session.conversation.think_is_chosen) == (think, True)
    assert (said(session), complained(session)) == (text, "")
    fake.answers["POST /api/show"] = Reply(json={"capabilities": ["completion"]})
    run_command(session, line)
    assert complained(session) == 'warning: model "m" does not support thinking output\n'


def test_a_system_message_replaces_one_that_was_just_set(session: Session) -> None:
    set_system(session, "a")
    set_system(session, "b")
    session.conversation.messages.append({"role": "user", "content": "x"})
    set_system(session, "c")
    assert [message["content"] for message in session.conversation.messages] == ["b", "x", "c"]
    assert said(session) == "Set system message.\n" * 3


def test_clear_keeps_the_system_message(session: Session) -> None:
    set_system(session, "a")
    session.conversation.messages.append({"role": "user", "content": "x"})
    run_command(session, "/clear")
    assert session.conversation.messages == [{"role": "system", "content": "a"}]


def test_list_takes_a_prefix(fake: FakeServer, session: Session) -> None:
    model = {"name": "a:latest", "digest": "0" * 64, "size": 1, "modified_at": "0001-01-01T00:00:00Z"}
    fake.answers["GET /api/tags"] = Reply(json={"models": [model]})
    run_command(session, "/listx")
    run_command(session, "/list b")
    assert said(session).count("NAME") == 2
    assert said(session).count("a:latest") == 1


# ---- /load


def test_load_goes_on_with_another_model(fake: FakeServer, session: Session) -> None:
    fake.answers |= {"POST /api/show": Reply(json=SHOWN), "POST /api/generate": Reply(lines=[{"done": True}])}
    session.conversation.messages.append({"role": "user", "content": "x"})
    session.conversation.options["top_k"] = 1
    run_command(session, "/load other")
    conversation = session.conversation
    assert (conversation.model, conversation.messages, conversation.think) == ("other", [], True)
    assert conversation.options == {"top_k": 1}
    assert said(session) == "Loading model 'other'\n"
    assert fake.bodies("POST /api/generate")[0] | {"options": None} == {
        "model": "other",
        "prompt": "",
        "suffix": "",
        "system": "",
        "template": "",
        "think": True,
        "options": None,
    }


def test_load_of_a_missing_model_changes_nothing(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/show"] = Reply(404, json={"error": "model 'other:latest' not found"})
    run_command(session, "/load other")
    assert session.conversation.model == "m"
    assert said(session) == "Loading model 'other'\nCouldn't find model 'other'\n"


def test_load_that_fails_ends_the_chat(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/show"] = Reply(500, json={"error": "broken"})
    with pytest.raises(CliError, match="broken"):
        run_command(session, "/load other")


# ---- /save


def test_save_makes_a_model_of_the_conversation(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/create"] = Reply(lines=[{"status": "success"}])
    set_system(session, "S")
    session.conversation.options["top_k"] = 1
    run_command(session, "/save mine")
    assert said(session).endswith("Created new model 'mine'\n")
    assert fake.bodies("POST /api/create") == [
        {
            "model": "mine",
            "from": "m",
            "system": "S",
            "parameters": {"top_k": 1},
            "messages": [{"role": "system", "content": "S"}],
            "name": "",
        }
    ]


def test_save_under_an_invalid_name(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/create"] = Reply(400, json={"error": "invalid model name"})
    run_command(session, "/save a:b:c")
    assert said(session) == "error: The model name 'a:b:c' is invalid\n"


@pytest.mark.parametrize(
    ("model", "parent", "source"),
    [
        ("m", "llama3:latest", "llama3:latest"),
        ("m", "", "m"),
        ("m", "/home/ada/model file.gguf", "m"),
        ("m:cloud", "llama3", "m:cloud"),
        ("m:cloud", "llama3:cloud", "llama3:cloud"),
    ],
)
def test_save_starts_from_the_parent_where_that_is_a_model(model: str, parent: str, source: str) -> None:
    assert save_request(Conversation(model, parent_model=parent), "x")["from"] == source


# ---- /show

UNKNOWN = "Unknown command '/show nope'. Type /? for help\n"


@pytest.mark.parametrize(
    ("part", "text", "without"),
    [
        ("license", "MIT\n", "No license was specified for this model.\n"),
        ("modelfile", "FROM x\n", "\n"),
        ("system", "S\n\n", "No system message was specified for this model.\n"),
        ("template", "T\n", "No prompt template was specified for this model.\n"),
        (
            "parameters",
            "Model defined parameters:\n  stop    x\n  num_ctx 4\n\n",
            "Model defined parameters:\n  No additional parameters were specified for this model.\n\n",
        ),
        (
            "nope",
            "Unknown command '/show nope'. Type /? for help\n",
            "Unknown command '/show nope'. Type /? for help\n",
        ),
    ],
)
def test_parts_of_the_model_can_be_shown(
    fake: FakeServer, session: Session, part: str, text: str, without: str
) -> None:
    fake.answers["POST /api/show"] = [Reply(json=SHOWN), Reply(json={"details": {}})]
    run_command(session, f"/show {part}")
    run_command(session, f"/show {part}")
    assert said(session) == text + without


def test_info_goes_to_standard_error(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/show"] = Reply(json=SHOWN)
    run_command(session, "/show info")
    assert said(session) == ""
    assert complained(session).startswith("  Model\n    architecture    llama    \n")


def test_what_was_set_here_is_shown_too(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/show"] = Reply(json=SHOWN)
    set_system(session, "mine")
    session.conversation.options |= {"temperature": 1.0, "stop": ["a", "b"]}
    run_command(session, "/show system")
    run_command(session, "/show parameters")
    assert "\nmine\n\nModel defined" in said(session)
    assert said(session).endswith(
        "User defined parameters:\n  temperature                    1\n  stop                           [a b]\n\n"
    )
    assert fake.bodies("POST /api/show")[0] == {
        "model": "",
        "system": "mine",
        "template": "",
        "verbose": False,
        "options": {"temperature": 1, "stop": ["a", "b"]},
        "name": "m",
    }


# ---- messages


def chat_reply(*lines: Json) -> Reply:
    return Reply(lines=[*({"message": line} for line in lines), {"message": {"content": ""}, "done": True}])


def test_a_message_and_its_reply_join_the_conversation(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/chat"] = [
        chat_reply({"content": "hi "}, {"content": "there"}),
        chat_reply({"thinking": "hm"}, {"content": "yes"}),
    ]
    send(session, "hello")
    send(session, "more")
    assert session.conversation.messages == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi there"},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": "yes", "thinking": "hm"},
    ]
    grey, bold, reset = "\x1b[38;5;245m", "\x1b[1m", "\x1b[0m"
    assert said(session) == (
        f"hi there\n\n{grey}{bold}Thinking...\n{reset}{grey}hm\n{grey}{bold}...done thinking.\n\n{reset}yes\n\n"
    )
    assert fake.bodies("POST /api/chat")[1] == {
        "model": "m",
        "messages": session.conversation.messages[:3],
        "options": {},
    }


def test_a_setting_that_the_model_refuses_does_not_end_the_chat(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/chat"] = Reply(400, json={"error": '"m" does not support thinking'})
    send(session, "hello")
    assert said(session) == 'error: 400 Bad Request: "m" does not support thinking\n'


def test_other_errors_end_the_chat(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/chat"] = chat_reply({"content": "a"})
    fake.answers["POST /api/chat"] = Reply(lines=[{"message": {"content": "a"}}, {"error": "model runner has stopped"}])
    with pytest.raises(CliError, match="model runner has stopped"):
        send(session, "hello")


def test_a_failure_of_the_upstream_can_be_tried_again(fake: FakeServer, session: Session) -> None:
    fake.answers["POST /api/chat"] = Reply(lines=[{"error": "upstream error: 502"}])
    send(session, "hello")
    assert said(session) == "An error occurred while processing your message. Please try again.\n\n"
    assert [message["role"] for message in session.conversation.messages] == ["user"]


def test_pictures_are_attached(fake: FakeServer, session: Session, tmp_path: Path) -> None:
    fake.answers["POST /api/chat"] = chat_reply({"content": "a cat"})
    picture = tmp_path / "my cat.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    session.conversation.takes_files = True
    escaped = str(picture).replace(" ", "\\ ")
    assert run_command(session, f"{escaped} what is this?") is Next.SEND
    send(session, f"{escaped} what is this?")
    (message,) = fake.bodies("POST /api/chat")[0]["messages"]
    assert message == {"role": "user", "content": "what is this?", "images": ["iVBORw0KGgo="]}
    assert f"Added image '{picture}'\n" in complained(session)
