"""The table of commands: names, arguments, flags, help. What a command does is in the module that its row names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from registry.gojson import quote
from server.cli.errors import UsageError
from server.cli.flags import Flag, Kind

ArgumentRule = Callable[[int], None]
"""Raises UsageError when a command cannot have so many positional arguments."""


def exactly(n: int) -> ArgumentRule:
    def check(received: int) -> None:
        if received != n:
            raise UsageError(f"accepts {n} arg(s), received {received}")

    return check


def at_least(n: int) -> ArgumentRule:
    def check(received: int) -> None:
        if received < n:
            raise UsageError(f"requires at least {n} arg(s), only received {received}")

    return check


def any_number(received: int) -> None:
    """No rule; whatever a command does not need, it ignores."""


@dataclass(frozen=True, slots=True)
class Command:
    """One row. `module` in `server.cli` has `run(client, args, out) -> int`; `variables` are listed in the help."""

    usage: str
    """The name, then the arguments as the help shows them."""
    help: str
    module: str
    arguments: ArgumentRule
    aliases: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    variables: tuple[str, ...] = ()
    hidden: bool = False
    needs_server: bool = True
    """Ask for a sign of life before anything else."""
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.usage.split()[0])


PROGRAM = "puna"
SUMMARY = "Large language model runner"

HELP = Flag("help", "help for {command}", short="h")
ROOT_FLAGS = (Flag("version", "Show version information", short="v"),)

_HOST = ("OLLAMA_HOST",)
_INSECURE = Flag("insecure", "Use an insecure registry")
_SERVE_VARIABLES = (
    "OLLAMA_DEBUG",
    "OLLAMA_HOST",
    "OLLAMA_CONTEXT_LENGTH",
    "OLLAMA_KEEP_ALIVE",
    "OLLAMA_MAX_LOADED_MODELS",
    "OLLAMA_MAX_TRANSFER_STREAMS",
    "OLLAMA_MAX_QUEUE",
    "OLLAMA_MODELS",
    "OLLAMA_NUM_PARALLEL",
    "OLLAMA_NO_CLOUD",
    "OLLAMA_NOPRUNE",
    "OLLAMA_ORIGINS",
    "OLLAMA_SCHED_SPREAD",
    "OLLAMA_FLASH_ATTENTION",
    "OLLAMA_KV_CACHE_TYPE",
    "OLLAMA_LLM_LIBRARY",
    "OLLAMA_GPU_OVERHEAD",
    "OLLAMA_IGPU_ENABLE",
    "OLLAMA_LOAD_TIMEOUT",
    "PUNA_BUILTIN",
    "PUNA_STRICT",
    "PUNA_PROMPT_CACHE",
    "PUNA_MLOCK",
    "PUNA_BACKEND_SAMPLING",
    "PUNA_MAX_BODY",
)

# Compat: registry-store-cli 7.1 (cmd/cmd.go NewCLI): the rows in the order of Ollama's help; `selftest` is Puna's own.
COMMANDS = (
    Command(
        usage="serve",
        help="Start Puna",
        module="serve",
        arguments=exactly(0),
        aliases=("start",),
        flags=(Flag("with-builtin", "Put the built-in model into the store at the start"),),
        variables=_SERVE_VARIABLES,
        needs_server=False,
    ),
    Command(
        usage="create MODEL",
        help="Create a model",
        module="create",
        arguments=exactly(1),
        flags=(
            Flag("file", 'Name of the Modelfile (default "Modelfile")', Kind.STRING, short="f"),
            Flag("quantize", "Quantize model to this level (e.g. q4_K_M)", Kind.STRING, short="q"),
            Flag("draft-quantize", "Quantize draft model to this level", Kind.STRING),
            Flag("imatrix", "Importance matrix file for quantizing", Kind.STRING),
        ),
        variables=_HOST,
    ),
    Command(
        usage="show MODEL",
        help="Show information for a model",
        module="show",
        arguments=exactly(1),
        flags=(
            Flag("license", "Show license of a model"),
            Flag("modelfile", "Show Modelfile of a model"),
            Flag("parameters", "Show parameters of a model"),
            Flag("template", "Show template of a model"),
            Flag("system", "Show system message of a model"),
            Flag("verbose", "Show detailed model information", short="v"),
        ),
        variables=_HOST,
    ),
    Command(
        usage="run MODEL [PROMPT]",
        help="Run a model",
        module="run",
        arguments=at_least(1),
        flags=(
            Flag("keepalive", "Duration to keep a model loaded (e.g. 5m)", Kind.STRING),
            Flag("verbose", "Show timings for response"),
            _INSECURE,
            Flag("nowordwrap", "Don't wrap words to the next line automatically"),
            Flag("format", "Response format (e.g. json)", Kind.STRING),
            Flag(
                "think",
                "Enable thinking mode: true/false or high/medium/low for supported models",
                Kind.STRING,
                bare="true",
            ),
            Flag("hidethinking", "Hide thinking output (if provided)"),
            Flag(
                "truncate",
                "For embedding models: truncate inputs exceeding context length (default: true). "
                "Set --truncate=false to error instead",
            ),
            Flag(
                "dimensions",
                "Truncate output embeddings to specified dimension (embedding models only)",
                Kind.INT,
            ),
        ),
        variables=("OLLAMA_EDITOR", "OLLAMA_HOST", "OLLAMA_NOHISTORY"),
    ),
    Command(usage="stop MODEL", help="Stop a running model", module="stop", arguments=exactly(1), variables=_HOST),
    Command(
        usage="pull MODEL",
        help="Pull a model from a registry",
        module="pull",
        arguments=exactly(1),
        flags=(_INSECURE,),
        variables=_HOST,
    ),
    Command(
        usage="push MODEL",
        help="Push a model to a registry",
        module="push",
        arguments=exactly(1),
        flags=(_INSECURE,),
        variables=_HOST,
    ),
    Command(usage="signin", help="Sign in to ollama.com", module="signin", arguments=exactly(0)),
    Command(usage="login", help="Sign in to ollama.com", module="signin", arguments=exactly(0), hidden=True),
    Command(usage="signout", help="Sign out from ollama.com", module="signout", arguments=exactly(0)),
    Command(usage="logout", help="Sign out from ollama.com", module="signout", arguments=exactly(0), hidden=True),
    Command(usage="list", help="List models", module="list", arguments=any_number, aliases=("ls",), variables=_HOST),
    Command(usage="ps", help="List running models", module="ps", arguments=any_number, variables=_HOST),
    Command(usage="cp SOURCE DESTINATION", help="Copy a model", module="cp", arguments=exactly(2), variables=_HOST),
    Command(usage="rm MODEL [MODEL...]", help="Remove a model", module="rm", arguments=at_least(1), variables=_HOST),
    Command(
        usage="selftest",
        help="Check each capability of a server with a real model",
        module="selftest.command",
        arguments=exactly(0),
        flags=(
            Flag("model", "Model to check with", Kind.STRING),
            Flag("spawn", "Start a server with an empty store for the checks, and stop it"),
        ),
        variables=_HOST,
        needs_server=False,
    ),
    Command(
        usage="help [command]",
        help="Help about any command",
        module="help",
        arguments=any_number,
        needs_server=False,
    ),
)


def find_command(name: str, commands: Iterable[Command] = COMMANDS) -> Command | None:
    """The command of that name or alias."""
    return next((command for command in commands if name == command.name or name in command.aliases), None)


def unknown_command(name: str) -> UsageError:
    """The error for a name that is no command, with the commands that may have been meant.

    # Compat: cobra 1.x, findSuggestions: a prefix of the name, or at most two edits away, case ignored.
    """
    text = f"unknown command {quote(name)} for {quote(PROGRAM)}"
    meant = [
        command.name
        for command in COMMANDS
        if not command.hidden
        and (_edit_distance(name.lower(), command.name) <= 2 or command.name.startswith(name.lower()))
    ]
    if meant:
        text += "\n\nDid you mean this?\n" + "".join(f"\t{suggestion}\n" for suggestion in meant)
    return UsageError(text)


def _edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance: how many letters to insert, delete or replace."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
