"""`puna`: from the command line to an exit status. Nothing below this module prints errors or exits."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from server.cli import help as help_screens
from server.cli.client import Client
from server.cli.commands import PROGRAM, ROOT_FLAGS, Command, find_command, unknown_command
from server.cli.environment import Environment
from server.cli.errors import CliError
from server.cli.flags import Arguments, Flag, parse_arguments
from server.cli.terminal import Output
from server.cli.transport import Transport

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of this process; returns its exit status."""
    out = Output(
        stdin=sys.stdin or io.StringIO(),
        stdout=_as_utf8(sys.stdout),
        stderr=_as_utf8(sys.stderr),
        environment=Environment.read(),
    )
    try:
        return execute(sys.argv[1:] if argv is None else argv, out)
    except BrokenPipeError:
        # Nobody reads any more. Python would complain once again when it flushes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def execute(argv: Sequence[str], out: Output) -> int:
    """0, 1 after an error, which is reported, or what a shell gives for SIGINT."""
    try:
        return dispatch(argv, out)
    except CliError as error:
        out.complain(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def dispatch(argv: Sequence[str], out: Output) -> int:
    """Find the command, check its arguments, ask for the server's sign of life, run it. Raises: CliError."""
    client = make_client(out.environment)
    name, rest = split_command(argv)
    if name is None:
        return _run_root(argv, client, out)
    command = find_command(name)
    if command is None:
        raise unknown_command(name)
    args = parse_arguments(rest, help_screens.flags_of(command.flags, command.name))
    if args.flag("help"):
        out.write(help_screens.command_screen(command))
        return 0
    command.arguments(len(args.positionals))
    if command.needs_server:
        client.heartbeat()
    return _run(command, client, args, out)


def make_client(environment: Environment) -> Client:
    """A client for the server that OLLAMA_HOST names; nothing is sent yet."""
    return Client(Transport(environment.host, user_agent=environment.user_agent, proxies=environment.proxies))


def split_command(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The first argument that is no flag, and all the others; None when there is no such argument.

    # Compat: cobra 1.x, stripFlags: before the command, an unknown flag without `=` takes the next argument along.
    """
    alone = {f"--{flag.name}" for flag in _ROOT} | {f"-{flag.short}" for flag in _ROOT if flag.short}
    skip = False
    for i, argument in enumerate(argv):
        if argument == "--":
            break
        if skip:
            skip = False
        elif argument.startswith("-"):
            skip = "=" not in argument and argument not in alone and (argument.startswith("--") or len(argument) == 2)
        elif argument:
            return argument, [*argv[:i], *argv[i + 1 :]]
    return None, []


_ROOT: tuple[Flag, ...] = help_screens.flags_of(ROOT_FLAGS, PROGRAM)


def _run_root(argv: Sequence[str], client: Client, out: Output) -> int:
    args = parse_arguments(argv, _ROOT)
    if args.positionals:
        raise unknown_command(args.positionals[0])
    if args.flag("version") and not args.flag("help"):
        from server.cli import version

        return version.run(client, args, out)
    out.write(help_screens.root_screen())
    return 0


def _run(command: Command, client: Client, args: Arguments, out: Output) -> int:
    """Commands are imported when they run: listing models should not wait for what a chat needs."""
    module = importlib.import_module(f"server.cli.{command.module}")
    status: int = module.run(client, args, out)
    return status


def _as_utf8(stream: TextIO | None) -> TextIO:
    """The stream, able to write any text whatever the locale is; a closed one becomes a sink."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")
    return stream
