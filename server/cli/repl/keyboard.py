"""The line editor: prompts, keys, history, the external editor. The only importer of prompt_toolkit."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from registry.gojson import quote
from server.cli.repl.history import LineHistory

PROMPT = ">>> "
CONTINUED = "... "
_PLACEHOLDER = "Send a message (/? for help)"
_PLACEHOLDER_CONTINUED = "Press Enter to send"
_TAB = " " * 8


class Interrupted(Exception):
    """Ctrl-C at the prompt."""

    def __init__(self, *, had_text: bool) -> None:
        super().__init__()
        self.had_text = had_text


class Keyboard:
    """Reads one line after another from the terminal."""

    def __init__(self, history: LineHistory, *, editor: str, complain: Callable[[str], None]) -> None:
        self._history = history
        self._editor = editor
        self._complain = complain
        self._session: PromptSession[str] = PromptSession(
            history=_KnownLines(history),
            key_bindings=self._bindings(),
            multiline=True,  # Enter sends, Ctrl-J starts a new line; both are bound below
            prompt_continuation=CONTINUED,
            enable_suspend=True,
            style=Style.from_dict({"placeholder": "fg:ansibrightblack"}),
        )

    def read_line(self, *, continued: bool) -> str:
        """The next line, which may hold line breaks made with Ctrl-J or a paste.

        `continued`: it goes on with a message begun before. Raises: EOFError, Interrupted.
        """
        hint = _PLACEHOLDER_CONTINUED if continued else _PLACEHOLDER
        line = self._session.prompt(
            CONTINUED if continued else PROMPT,
            placeholder=FormattedText([("class:placeholder", hint)]),
            handle_sigint=False,  # the chat does (interrupts.py); while a line is edited, Ctrl-C is a key
        )
        if line.strip():
            self._history.add(line)
        return line

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        bindings.add("enter")(lambda event: event.current_buffer.validate_and_handle())
        bindings.add("c-j")(lambda event: event.current_buffer.insert_text("\n"))
        bindings.add("tab")(lambda event: event.current_buffer.insert_text(_TAB))
        bindings.add("c-c")(_interrupt)
        bindings.add("c-g")(self._edit)
        return bindings

    def _edit(self, event: KeyPressEvent) -> None:
        """Go on with the message in an editor."""
        buffer = event.current_buffer

        def edit() -> None:
            try:
                text = edit_text(buffer.text, self._editor)
            except OSError as error:
                self._complain(f"error: {error}\n")
                return
            buffer.text = text
            buffer.cursor_position = len(text)

        run_in_terminal(edit)  # takes the prompt away meanwhile


def _interrupt(event: KeyPressEvent) -> None:
    event.app.exit(exception=Interrupted(had_text=bool(event.current_buffer.text)))


class _KnownLines(History):
    """The history as prompt_toolkit wants it; the file is written by `LineHistory`."""

    def __init__(self, lines: LineHistory) -> None:
        super().__init__()
        self._lines = lines

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._lines.lines)

    def store_string(self, string: str) -> None:
        """Kept by `Keyboard.read_line`, which also knows the lines that are not to be kept."""


def edit_text(text: str, editor: str) -> str:
    """The text after an editor had it. Raises: OSError when there is no such editor or it failed."""
    command = shlex.split(editor)
    if not command or shutil.which(command[0]) is None:
        raise OSError(
            f"editor {quote(command[0] if command else '')} not found, "
            "set OLLAMA_EDITOR to the path of your preferred editor"
        )
    with tempfile.TemporaryDirectory(prefix="puna-") as folder:
        file = Path(folder) / "prompt.txt"
        file.write_text(text, "utf-8")
        status = subprocess.run([*command, str(file)], check=False).returncode
        if status:
            raise OSError(f"editor exited with error: exit status {status}")
        return file.read_text("utf-8", "replace").rstrip("\n")
