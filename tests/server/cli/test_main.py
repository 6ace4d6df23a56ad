from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.cli.commands import COMMANDS, Command
from server.cli.main import split_command
from server.settings import Host
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Reply

NO_SERVER = Host(port=1)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["show"], "accepts 1 arg(s), received 0"),
        (["stop", "a", "b"], "accepts 1 arg(s), received 2"),
        (["cp", "a"], "accepts 2 arg(s), received 1"),
        (["serve", "x"], "accepts 0 arg(s), received 1"),
        (["run"], "requires at least 1 arg(s), only received 0"),
        (["rm"], "requires at least 1 arg(s), only received 0"),
        (["list", "--x"], "unknown flag: --x"),
        (["run", "m", "-x"], "unknown shorthand flag: 'x' in -x"),
        (["--x"], "unknown flag: --x"),
        (["frobnicate"], 'unknown command "frobnicate" for "puna"'),
        (["shwo"], 'unknown command "shwo" for "puna"\n\nDid you mean this?\n\tshow\n'),
        (["sign"], 'unknown command "sign" for "puna"\n\nDid you mean this?\n\tsignin\n\tsignout\n'),
        (["LIS"], 'unknown command "LIS" for "puna"\n\nDid you mean this?\n\tlist\n\tps\n'),
        (["--", "list"], 'unknown command "list" for "puna"\n\nDid you mean this?\n\tlist\n'),
    ],
)
def test_a_wrong_command_line_is_an_error_without_usage(puna: Puna, argv: list[str], text: str) -> None:
    result = puna(*argv, host=NO_SERVER)
    assert (result.status, result.stdout, result.stderr) == (1, "", f"Error: {text}\n")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.needs_server], ids=lambda c: c.name)
def test_commands_ask_for_a_sign_of_life_first(puna: Puna, command: Command) -> None:
    usage = command.usage.replace("[", "").replace("]", "")
    result = puna(*usage.split()[: 3 if "SOURCE" in usage else 2], host=NO_SERVER)
    assert result.status == 1
    assert result.stderr == "Error: could not connect to puna server, run 'puna serve' to start it\n"


def test_a_server_that_refuses_the_sign_of_life_is_pointed_at(fake: FakeServer, puna: Puna) -> None:
    fake.answers["HEAD /"] = Reply(403)
    result = puna("list")
    assert result.status == 1
    assert result.stderr == "Error: something went wrong, please see the puna server logs for details\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "m", "--verbose"], ("run", ["m", "--verbose"])),
        (["-v", "list"], ("list", ["-v"])),
        (["--insecure", "list", "pull"], ("pull", ["--insecure", "list"])),
        (["--format=json", "run", "m"], ("run", ["--format=json", "m"])),
        (["--version"], (None, [])),
        (["--", "run"], (None, [])),
        ([], (None, [])),
    ],
)
def test_the_command_is_the_first_word_that_belongs_to_no_flag(
    argv: list[str], expected: tuple[str | None, list[str]]
) -> None:
    assert split_command(argv) == expected


@pytest.mark.parametrize("argv", [[], ["help"], ["--help"], ["-h"], ["--version", "--help"]])
def test_without_a_command_the_overview_is_shown(puna: Puna, argv: list[str]) -> None:
    result = puna(*argv, host=NO_SERVER)
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.startswith(
        "Large language model runner\n\nUsage:\n  puna [flags]\n  puna [command]\n\nAvailable Commands:\n"
        "  serve       Start Puna\n  create      Create a model\n"
    )
    assert "login" not in result.stdout
    assert result.stdout.endswith(
        "  help        Help about any command\n\nFlags:\n  -h, --help      help for puna\n"
        "  -v, --version   Show version information\n\n"
        'Use "puna [command] --help" for more information about a command.\n'
    )


@pytest.mark.parametrize("argv", [["help", "list"], ["list", "--help"], ["ls", "-h", "x"]])
def test_a_command_has_a_help_screen(puna: Puna, argv: list[str]) -> None:
    result = puna(*argv, host=NO_SERVER)
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout == (
        "List models\n\nUsage:\n  puna list [flags]\n\nAliases:\n  list, ls\n\n"
        "Flags:\n  -h, --help   help for list\n\nEnvironment Variables:\n"
        "      OLLAMA_HOST                   Address of the server (default 127.0.0.1:11434)\n"
    )


def test_a_command_without_variables_has_no_block_for_them(puna: Puna) -> None:
    assert puna("help", "signin").stdout == (
        "Sign in to ollama.com\n\nUsage:\n  puna signin [flags]\n\nFlags:\n  -h, --help   help for signin\n"
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_every_help_screen_can_be_made(puna: Puna, command: Command) -> None:
    assert puna(command.name, "--help", host=NO_SERVER).status == 0


def test_help_for_an_unknown_topic_is_the_overview(puna: Puna) -> None:
    result = puna("help", "nope", "x")
    assert result.status == 0
    assert result.stdout == ""
    assert result.stderr.startswith("Unknown help topic [`nope` `x`]\nUsage:\n  puna [flags]\n")


def run_process(*argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[3]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "HOME": "/nonexistent", **settings}
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *argv],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_process_ends_with_the_status_of_the_command(fake: FakeServer) -> None:
    fake.answers["GET /api/tags"] = Reply(json={"models": []})
    good = run_process("list", OLLAMA_HOST=f"127.0.0.1:{fake.port}", LC_ALL="C")
    bad = run_process("list", OLLAMA_HOST="127.0.0.1:1")
    assert (good.returncode, good.stdout, good.stderr) == (0, "NAME    ID    SIZE    MODIFIED \n", "")
    assert (bad.returncode, bad.stdout) == (1, "")


def test_a_reader_that_leaves_ends_the_command_quietly(fake: FakeServer) -> None:
    model = {"name": "m" * 100, "digest": "0" * 64, "size": 1, "modified_at": "2026-01-01T00:00:00Z"}
    fake.answers["GET /api/tags"] = Reply(json={"models": [model] * 5000})
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "list"],
        env={"OLLAMA_HOST": f"127.0.0.1:{fake.port}", "HOME": "/nonexistent"},
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 141


def test_listing_imports_no_framework() -> None:
    program = "import sys, server.cli.main, server.cli.list; print(*sorted(sys.modules))"
    root = Path(__file__).parents[3]
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"fastapi", "pydantic", "httpx", "numpy", "prompt_toolkit", "uvicorn", "msgspec", "asyncio", "jinja2"}
    assert heavy.isdisjoint(loaded)
