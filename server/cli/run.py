"""`puna run MODEL [PROMPT]`: one answer, or a conversation when a person sits at the terminal."""

from __future__ import annotations

import logging

from registry.gojson import Float32, encode
from registry.names import parse_source, to_cloud_name
from server.cli.attachments import take_attachments
from server.cli.client import Client
from server.cli.commands import PROGRAM
from server.cli.conversation import Conversation
from server.cli.errors import CliError, StatusError, Unauthorized, UsageError
from server.cli.flags import Arguments
from server.cli.loading import is_cloud
from server.cli.progress import spinner_until
from server.cli.pull import pull_model
from server.cli.reply import ReplyPrinter, ThoughtsInText
from server.cli.signin import ask_to_sign_in
from server.cli.statistics import format_statistics
from server.cli.terminal import Output
from server.cli.transport import Json

logger = logging.getLogger(__name__)


def run(client: Client, args: Arguments, out: Output) -> int:
    """Find the model, pulling it if it is missing, and ask it. Raises: CliError."""
    conversation = Conversation.from_arguments(args)
    prompt = read_prompt(args, out)
    try:
        info = find_or_pull(client, conversation, out, insecure=args.flag("insecure"))
        capabilities = info.get("capabilities") or ()
        if "embedding" in capabilities:
            return embed(client, conversation, prompt, args, out)
        if "image" in capabilities:
            raise CliError("image generation models are not currently supported")
        conversation.adopt(info)
        if out.is_interactive and not prompt:
            from server.cli.repl import loop  # here: a single answer needs no line editor

            return loop.converse(client, conversation, info, out)
        return answer(client, conversation, prompt, out)
    except Unauthorized as error:
        ask_to_sign_in(error, out)
        return 0


def read_prompt(args: Arguments, out: Output) -> str:
    """What is piped in, then the arguments, with spaces between. # Compat: registry-store-cli 7.9."""
    piped = "" if out.is_typed_into else out.read_all()
    return " ".join([piped] * bool(piped) + list(args.positionals[1:]))


def find_or_pull(client: Client, conversation: Conversation, out: Output, *, insecure: bool) -> Json:
    """The model's description; a missing model is pulled first, perhaps under the name of its cloud variant."""
    try:
        info = client.show(conversation.model)
    except StatusError as error:
        if error.status != 404 or is_cloud(conversation.model):
            raise
        conversation.model = pull_model(client, conversation.model, out, insecure=insecure, verb="run")
        info = client.show(conversation.model)
    if is_cloud(conversation.model):
        _pull_stub(client, conversation.model)
    return info


def _pull_stub(client: Client, model: str) -> None:
    """Have the cloud model listed like a local one; nothing depends on it."""
    stub = to_cloud_name(parse_source(model)[0])
    try:
        known = {str(entry["name"]).lower() for entry in client.list_models()}
        if not known & {model.lower(), stub.lower()}:
            for _ in client.pull(stub):
                pass
    except CliError as error:
        logger.warning("failed to pull cloud stub %s: %s", stub, error)


def embed(client: Client, conversation: Conversation, text: str, args: Arguments, out: Output) -> int:
    """Print one vector as a line of JSON. Raises: CliError."""
    if not text:
        raise UsageError(
            f'embedding models require input text. Usage: {PROGRAM} run {conversation.model} "your text here"'
        )
    reply = client.embed(
        conversation.model,
        text,
        keep_alive=conversation.keep_alive,
        truncate=args.flag("truncate") if args.is_given("truncate") else None,
        dimensions=args.number("dimensions") if args.number("dimensions") > 0 else None,
    )
    vectors = reply.get("embeddings")
    if not vectors:
        raise CliError("no embeddings returned")
    out.write(encode([Float32(float(value)) for value in vectors[0]]).decode() + "\n")
    return 0


def answer(client: Client, conversation: Conversation, prompt: str, out: Output) -> int:
    """Print one reply; Ctrl-C ends it early and is no failure. Raises: CliError."""
    text, images = take_attachments(prompt, out) if conversation.takes_files else (prompt, [])
    with spinner_until(out) as spinner:
        printer = ReplyPrinter(
            out,
            wraps=conversation.wraps,
            hides_thinking=conversation.hides_thinking,
            plain=not out.is_read_by_person,
            before_text=spinner.clear,
        )
        try:
            last = _print_reply(client, conversation, text, images, printer)
        except KeyboardInterrupt:
            return 0
        finally:
            printer.finish()
    if prompt:
        out.write("\n\n")
    if conversation.verbose and last.get("done"):
        out.complain(format_statistics(last))
    return 0


def _print_reply(
    client: Client, conversation: Conversation, prompt: str, images: list[bytes], printer: ReplyPrinter
) -> Json:
    """The last object of the reply."""
    last: Json = {}
    thoughts = ThoughtsInText() if conversation.think else None
    for last in client.generate(
        conversation.model,
        prompt,
        images=images,
        options=conversation.options,
        format=conversation.wanted_format,
        keep_alive=conversation.keep_alive,
        think=conversation.think,
    ):
        thinking, text = thoughts.feed(last.get("response") or "") if thoughts else ("", last.get("response") or "")
        thinking = last.get("thinking") or thinking
        printer.show(text=text, thinking=thinking, tool_calls=last.get("tool_calls") or ())
    if thoughts:
        thinking, text = thoughts.finish()
        printer.show(text=text, thinking=thinking)
    return last
