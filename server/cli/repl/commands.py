"""The slash commands of the interactive chat, but `/set` and `/show`: a table of prefixes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from enum import Enum, auto

from registry.errors import InvalidName
from registry.names import ModelName
from server.cli.attachments import find_paths
from server.cli.conversation import Conversation
from server.cli.errors import CliError
from server.cli.list import show_models
from server.cli.loading import is_cloud, load
from server.cli.repl import help as texts
from server.cli.repl.session import Session
from server.cli.repl.showing import show_part
from server.cli.repl.variables import set_variable
from server.cli.transport import Json


class Next(Enum):
    """What the loop does after a line that begins with a slash."""

    READ = auto()
    LEAVE = auto()
    SEND = auto()
    """The line is a message after all: it begins with the path of an image."""


Words = list[str]
Handler = Callable[[Session, Words], Next | None]


def run_command(session: Session, line: str) -> Next:
    """Do what a line says that begins with a slash. Raises: CliError when the chat cannot go on.

    # Compat: registry-store-cli 7.10: the first prefix that fits counts, so `/listx` is `/list`.
    """
    words = line.split()
    for prefix, handler in COMMANDS:
        if line.startswith(prefix):
            return handler(session, words) or Next.READ
    if session.conversation.takes_files and any(path.startswith(words[0]) for path in find_paths(line)):
        return Next.SEND
    session.say(f"Unknown command '{words[0]}'. Type /? for help")
    return Next.READ


def _list(session: Session, words: Words) -> None:
    show_models(session.client, words[1] if len(words) > 1 else "", session.out)


def _load(session: Session, words: Words) -> None:
    """Go on with another model and no messages; the old one stays when there is no such model."""
    if len(words) != 2:
        session.out.write(texts.LOAD)
        return
    before, (_, model) = session.conversation, words
    after = deepcopy(before)
    after.model, after.messages = model, []
    session.say(f"Loading model '{model}'")
    try:
        after.adopt(session.client.show(model))
        load(session.client, model, session.out, keep_alive=after.keep_alive, think=after.think)
    except CliError as error:
        if "not found" in str(error):
            session.say(f"Couldn't find model '{model}'")
            return
        if "does not support thinking" not in str(error):
            raise
        session.say(f"error: {error}")
    session.conversation = after


def _save(session: Session, words: Words) -> None:
    if len(words) != 2:
        session.out.write(texts.SAVE)
        return
    _, name = words
    try:
        for _ in session.client.create(save_request(session.conversation, name)):
            pass
    except CliError as error:
        if "invalid model name" not in str(error):
            raise
        session.say(f"error: The model name '{name}' is invalid")
        return
    session.say(f"Created new model '{name}'")


def save_request(conversation: Conversation, name: str) -> Json:
    """The request that makes a model of the conversation.

    # Compat: registry-store-cli 7.10 (cmd/interactive.go NewCreateRequest): from the parent model, where that is a
    name and not the file that the model was made from.
    """
    parent = conversation.parent_model
    if not _is_name(parent) or (is_cloud(conversation.model) and not is_cloud(parent)):
        parent = ""
    request: Json = {
        "model": name,
        "from": parent or conversation.model,
        "system": conversation.system,
        "parameters": conversation.options,
        "messages": conversation.messages,
    }
    return {field: value for field, value in request.items() if value}


def _is_name(text: str) -> bool:
    try:
        ModelName.parse(text)
    except InvalidName:
        return False
    return True


def _clear(session: Session, words: Words) -> None:
    system = session.conversation.system
    session.conversation.messages = [{"role": "system", "content": system}] if system else []
    session.say("Cleared session context")


def _set(session: Session, words: Words) -> None:
    set_variable(session, words)


def _show(session: Session, words: Words) -> None:
    show_part(session, words)


def _help(session: Session, words: Words) -> None:
    if len(words) > 1:
        session.out.complain(texts.TOPICS.get(words[1], ""))
        return
    session.out.complain(texts.COMMANDS + (texts.FILES if session.conversation.takes_files else "") + "\n")


def _leave(session: Session, words: Words) -> Next:
    return Next.LEAVE


COMMANDS: tuple[tuple[str, Handler], ...] = (
    ("/list", _list),
    ("/load", _load),
    ("/save", _save),
    ("/clear", _clear),
    ("/set", _set),
    ("/show", _show),
    ("/help", _help),
    ("/?", _help),
    ("/exit", _leave),
    ("/bye", _leave),
)
