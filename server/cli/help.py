"""`puna help` and `--help`: screens in the shape that Go's cobra library gives them.

Source: cobra 1.x, command.go, the default usage template; the block of variables is Ollama's own addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.cli.client import Client
from server.cli.commands import COMMANDS, HELP, PROGRAM, ROOT_FLAGS, SUMMARY, Command, find_command
from server.cli.flags import Arguments, Flag, describe_flags
from server.cli.terminal import Output
from server.settings import help_text


def run(client: Client, args: Arguments, out: Output) -> int:
    """Print the screen of the command that is named, or the overview."""
    if not args.positionals:
        out.write(root_screen())
        return 0
    command = find_command(args.positionals[0])
    if command is None:
        topics = " ".join(f"`{name}`" for name in args.positionals)
        out.complain(f"Unknown help topic [{topics}]\n" + root_usage())
        return 0
    out.write(command_screen(command))
    return 0


def root_screen() -> str:
    return f"{SUMMARY}\n\n{root_usage()}"


def root_usage() -> str:
    shown = [command for command in COMMANDS if not command.hidden]
    width = max(11, *(len(command.name) for command in shown))
    commands = "".join(f"  {command.name:<{width}} {command.help}\n" for command in shown)
    flags = describe_flags(flags_of(ROOT_FLAGS, PROGRAM))
    return (
        f"Usage:\n  {PROGRAM} [flags]\n  {PROGRAM} [command]\n\nAvailable Commands:\n{commands}\nFlags:\n{flags}\n"
        f'Use "{PROGRAM} [command] --help" for more information about a command.\n'
    )


def command_screen(command: Command) -> str:
    screen = f"{command.help}\n\nUsage:\n  {PROGRAM} {command.usage} [flags]\n"
    if command.aliases:
        screen += f"\nAliases:\n  {', '.join((command.name, *command.aliases))}\n"
    screen += f"\nFlags:\n{describe_flags(flags_of(command.flags, command.name))}"
    return screen + (f"\nEnvironment Variables:\n{help_text(command.variables)}" if command.variables else "")


def flags_of(flags: Sequence[Flag], name: str) -> tuple[Flag, ...]:
    """A command's flags with the one that every command has."""
    return (*flags, replace(HELP, help=HELP.help.format(command=name)))
