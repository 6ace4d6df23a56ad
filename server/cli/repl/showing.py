"""`/show`: a table of what can be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registry.gojson import format_value
from server.cli.repl import help as texts
from server.cli.repl.session import Session
from server.cli.show import format_info
from server.cli.transport import Json


def show_part(session: Session, words: Sequence[str]) -> None:
    """Do what `/show …` says; `words` begins with "/show". Raises: CliError.

    # Compat: registry-store-cli 7.10: only `info` goes to standard error.
    """
    if len(words) < 2:
        session.out.complain(texts.SHOW)
        return
    conversation = session.conversation
    info = session.client.show(name=conversation.model, system=conversation.system, options=conversation.options)
    shower = _SHOWERS.get(words[1])
    if shower is None:
        session.say(f"Unknown command '/show {words[1]}'. Type /? for help")
        return
    shower(session, info)


def _info(session: Session, info: Json) -> None:
    session.out.complain(format_info(info))


def _license(session: Session, info: Json) -> None:
    session.say(info.get("license") or "No license was specified for this model.")


def _modelfile(session: Session, info: Json) -> None:
    session.say(info.get("modelfile") or "")


def _parameters(session: Session, info: Json) -> None:
    defined = info.get("parameters") or "No additional parameters were specified for this model."
    session.say("Model defined parameters:")
    session.say("".join(f"  {line}\n" for line in defined.split("\n")))
    options = session.conversation.options
    if options:
        session.say("User defined parameters:")
        session.say("".join(f"  {name:<30} {format_value(value)}\n" for name, value in options.items()))


def _system(session: Session, info: Json) -> None:
    text = session.conversation.system or info.get("system")
    session.say(f"{text}\n" if text else "No system message was specified for this model.")


def _template(session: Session, info: Json) -> None:
    session.say(info.get("template") or "No prompt template was specified for this model.")


_SHOWERS: dict[str, Callable[[Session, Json], None]] = {
    "info": _info,
    "license": _license,
    "modelfile": _modelfile,
    "parameters": _parameters,
    "system": _system,
    "template": _template,
}
