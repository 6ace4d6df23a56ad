"""The interactive chat: read a line, do what it says, show the reply, until the person leaves."""

from __future__ import annotations

from server.cli.attachments import take_attachments
from server.cli.client import Client
from server.cli.conversation import Conversation
from server.cli.errors import CliError
from server.cli.loading import load
from server.cli.progress import spinner_until
from server.cli.repl.commands import Next, run_command
from server.cli.repl.composing import Composed, Composer, Purpose
from server.cli.repl.history import LineHistory
from server.cli.repl.keyboard import Interrupted, Keyboard
from server.cli.repl.session import Session
from server.cli.repl.variables import set_system
from server.cli.reply import ReplyPrinter
from server.cli.statistics import format_statistics
from server.cli.terminal import Output
from server.cli.transport import Json

_FORGIVEN = ("does not support thinking", "invalid think value")
"""Errors after which a person can change a setting and try again."""


def converse(client: Client, conversation: Conversation, info: Json, out: Output) -> int:
    """Load the model, show what its Modelfile has been said already, talk. Raises: CliError."""
    load(client, conversation.model, out, keep_alive=conversation.keep_alive, think=conversation.think)
    replay(info.get("messages") or (), conversation, out)
    environment = out.environment
    history = LineHistory(environment.home / ".ollama" / "history", enabled=environment.keeps_history)
    session = Session(client, conversation, history, out)
    talk(session, Keyboard(history, editor=environment.editor, complain=out.complain))
    return 0


def replay(messages: list[Json] | tuple[()], conversation: Conversation, out: Output) -> None:
    """Print the messages that the model brings along, as if they had been typed and answered."""
    for message in messages:
        if message["role"] == "user":
            out.write(f">>> {message['content']}\n")
        elif message["role"] == "assistant":
            ReplyPrinter(out, wraps=conversation.wraps).show(text=message["content"])
            out.write("\n\n")


def talk(session: Session, keyboard: Keyboard) -> None:
    """The loop. Raises: CliError for an error that a chat does not survive."""
    with session.interrupts.taken():
        _talk(session, keyboard)


def _talk(session: Session, keyboard: Keyboard) -> None:
    composer = Composer()
    while True:
        try:
            line = keyboard.read_line(continued=composer.is_open)
        except EOFError:
            session.say("")
            return
        except Interrupted as interrupt:
            if not interrupt.had_text:
                session.say("\nUse Ctrl + d or /bye to exit.")
            composer.reset()
            continue
        composed = composer.feed(line)
        if composed is not None and _act(session, composed) is Next.LEAVE:
            return


def _act(session: Session, composed: Composed) -> Next:
    match composed.purpose:
        case Purpose.SYSTEM:
            set_system(session, composed.text)
        case Purpose.COMMAND:
            with session.interrupts.wanted():
                following = run_command(session, composed.text)
            if following is not Next.SEND:
                return following
            send(session, composed.text)
        case Purpose.MESSAGE if composed.text:
            send(session, composed.text)
        case Purpose.MESSAGE:
            pass
    return Next.READ


def send(session: Session, text: str) -> None:
    """Add a message to the conversation and show what the model says to it. Raises: CliError."""
    conversation = session.conversation
    message: Json = {"role": "user", "content": text}
    if conversation.takes_files:
        message["content"], images = take_attachments(text, session.out)
        message |= {"images": images} if images else {}
    conversation.messages.append(message)
    try:
        reply = _ask(session)
    except CliError as error:
        if not any(known in str(error) for known in _FORGIVEN):
            raise
        session.say(f"error: {error}")
        return
    if reply is not None:
        conversation.messages.append(reply)


def _ask(session: Session) -> Json | None:
    """Show one reply; None when Ctrl-C ended it or the upstream of a remote model failed. Raises: CliError."""
    conversation, out = session.conversation, session.out
    with spinner_until(out) as spinner:
        printer = ReplyPrinter(
            out,
            wraps=conversation.wraps,
            hides_thinking=conversation.hides_thinking,
            plain=False,
            before_text=spinner.clear,
        )
        try:
            with session.interrupts.wanted():
                last = _print_reply(session, printer)
        except KeyboardInterrupt:
            out.write("\n\n")
            return None
        except CliError as error:
            if "upstream error" not in str(error):
                raise
            spinner.clear()
            session.say("An error occurred while processing your message. Please try again.\n")
            return None
        finally:
            printer.finish()
    out.write("\n\n")
    if conversation.verbose:
        out.complain(format_statistics(last))
    reply: Json = {"role": "assistant", "content": printer.text}
    return reply | ({"thinking": printer.thinking} if printer.thinking else {})


def _print_reply(session: Session, printer: ReplyPrinter) -> Json:
    """The last object of the reply."""
    conversation, last = session.conversation, Json()
    for last in session.client.chat(
        conversation.model,
        conversation.messages,
        options=conversation.options,
        format=conversation.wanted_format,
        keep_alive=conversation.keep_alive,
        think=conversation.think,
    ):
        message = last.get("message") or {}
        printer.show(
            text=message.get("content") or "",
            thinking=message.get("thinking") or "",
            tool_calls=message.get("tool_calls") or (),
        )
    return last
