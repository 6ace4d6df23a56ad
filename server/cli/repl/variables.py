"""`/set`: a table of what can be set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.errors import ModelError
from models.modelfile import ParameterValue, parse_parameter
from registry.gojson import quote
from server.cli.errors import CliError
from server.cli.repl import help as texts
from server.cli.repl.session import Session

Words = Sequence[str]


def set_variable(session: Session, words: Words) -> None:
    """Do what `/set …` says; `words` begins with "/set". # Compat: registry-store-cli 7.10."""
    if len(words) < 2:
        session.out.complain(texts.SET)
        return
    setter = _SETTERS.get(words[1])
    if setter is None:
        session.say(f"Unknown command '/set {words[1]}'. Type /? for help")
        return
    setter(session, words[2:])


def set_system(session: Session, text: str) -> None:
    """Give the model another system message; it replaces one that was set just before."""
    conversation = session.conversation
    conversation.system = text
    if conversation.messages and conversation.messages[-1]["role"] == "system":
        conversation.messages.pop()
    conversation.messages.append({"role": "system", "content": text})
    session.say("Set system message.")


def _keep_history(session: Session, words: Words) -> None:
    session.history.enabled = True


def _keep_no_history(session: Session, words: Words) -> None:
    session.history.enabled = False


def _wrap(session: Session, words: Words) -> None:
    session.conversation.wraps = True
    session.say("Set 'wordwrap' mode.")


def _wrap_not(session: Session, words: Words) -> None:
    session.conversation.wraps = False
    session.say("Set 'nowordwrap' mode.")


def _verbose(session: Session, words: Words) -> None:
    session.conversation.verbose = True
    session.say("Set 'verbose' mode.")


def _quiet(session: Session, words: Words) -> None:
    session.conversation.verbose = False
    session.say("Set 'quiet' mode.")


def _think(session: Session, words: Words) -> None:
    session.conversation.think = words[0] if words else True
    session.conversation.think_is_chosen = True
    _warn_without_thinking(session)
    session.say(f"Set 'think' mode to '{words[0]}'." if words else "Set 'think' mode.")


def _think_not(session: Session, words: Words) -> None:
    session.conversation.think = False
    session.conversation.think_is_chosen = True
    _warn_without_thinking(session)
    session.say("Set 'nothink' mode.")


def _warn_without_thinking(session: Session) -> None:
    model = session.conversation.model
    try:
        capabilities = session.client.show(model).get("capabilities") or ()
    except CliError:
        return  # the next message will say what is wrong
    if "thinking" not in capabilities:
        session.out.complain(f"warning: model {quote(model)} does not support thinking output\n")


def _format(session: Session, words: Words) -> None:
    if words[:1] != ["json"]:
        session.say("Invalid or missing format. For 'json' mode use '/set format json'")
        return
    session.conversation.format = "json"
    session.say("Set format to 'json' mode.")


def _format_not(session: Session, words: Words) -> None:
    session.conversation.format = ""
    session.say("Disabled format.")


def _parameter(session: Session, words: Words) -> None:
    if len(words) < 2:
        session.out.complain(texts.PARAMETERS)
        return
    name, *values = words
    try:
        session.conversation.options[name] = _parse_values(name, values)
    except ModelError as error:
        session.say(f"Couldn't set parameter: {quote(str(error))}")
        return
    session.say(f"Set parameter '{name}' to '{', '.join(values)}'")


def _parse_values(name: str, values: Words) -> ParameterValue:
    """All values of a list, the first of anything else."""
    first = parse_parameter(name, values[0])
    return [*values] if isinstance(first, list) else first


def _system(session: Session, words: Words) -> None:
    """Only without a text: with one, it is composed like a message."""
    session.out.complain(texts.SET)


_SETTERS: dict[str, Callable[[Session, Words], None]] = {
    "history": _keep_history,
    "nohistory": _keep_no_history,
    "wordwrap": _wrap,
    "nowordwrap": _wrap_not,
    "verbose": _verbose,
    "quiet": _quiet,
    "think": _think,
    "nothink": _think_not,
    "format": _format,
    "noformat": _format_not,
    "parameter": _parameter,
    "system": _system,
}
