"""A reply on the screen while it arrives: thinking, text, calls of functions that do not exist here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.parsers.reasoning import ReasoningSplit
from models.parsers.syntax import ReasoningTags
from registry.gojson import encode
from server.cli.terminal import BOLD, GREY, RESET, Output
from server.cli.transport import Json
from server.cli.wrapping import WordWrapper

_TITLE = GREY + BOLD


def no_wrap(text: str) -> str:
    return text


@dataclass(slots=True)
class ReplyPrinter:
    """Writes the parts of one reply. `plain`: no colours around the thinking.

    # Compat: registry-store-cli 7.9 (cmd/cmd.go generate, chat, displayResponse).
    """

    out: Output
    wraps: bool = True
    hides_thinking: bool = False
    plain: bool = True
    before_text: Callable[[], None] = lambda: None
    """Called before anything is written, each time: takes a spinner from the screen."""
    text: str = ""
    thinking: str = ""
    _is_thinking: bool = False
    _wrap: Callable[[str], str] = field(default=no_wrap)

    def __post_init__(self) -> None:
        self._wrap = self._new_wrapper()

    def show(self, *, text: str = "", thinking: str = "", tool_calls: Sequence[Json] = ()) -> None:
        """Write the next part of the reply."""
        if text or not self.hides_thinking:
            self.before_text()
        self.text += text
        self.thinking += thinking
        if thinking and not self.hides_thinking:
            self._show_thinking(thinking)
        if text or tool_calls:
            self._end_thinking()
        if text:
            self.out.write(self._wrap(text))
        if tool_calls:
            self.out.write(describe_calls(tool_calls, plain=self.plain))

    def finish(self) -> None:
        """Leave the colours as they were, when the reply ended with its thinking."""
        if self._is_thinking and not self.plain:
            self.out.write(RESET)

    def _show_thinking(self, thinking: str) -> None:
        if not self._is_thinking:
            self._is_thinking = True
            self.out.write("Thinking...\n" if self.plain else f"{_TITLE}Thinking...\n{RESET}{GREY}")
        self.out.write(self._wrap(thinking))

    def _end_thinking(self) -> None:
        if not self._is_thinking:
            return
        self._is_thinking = False
        if not self.thinking.endswith("\n"):
            self.out.write("\n")
        closing = "...done thinking.\n\n"
        self.out.write(closing if self.plain else f"{_TITLE}{closing}{RESET}")
        self._wrap = self._new_wrapper()

    def _new_wrapper(self) -> Callable[[str], str]:
        return WordWrapper(self.out.columns).feed if self.wraps else no_wrap


class ThoughtsInText:
    """Tells thoughts from the text of a generation that begins with `<think>`; any other text stays as it is.

    Models that are served through their own chat template leave the tags in the text of `/api/generate`
    (http-api 4.3, 6.11), and Ollama's command line shows them as they are.
    """

    _OPENING = "<think>"
    _TAGS = ReasoningTags("<think>\n", "</think>\n\n")

    def __init__(self) -> None:
        self._beginning: str | None = ""
        self._split: ReasoningSplit | None = None

    def feed(self, text: str) -> tuple[str, str]:
        """The thought and the other text that are certain by now."""
        if self._beginning is not None:
            text = self._beginning + text
            start = text.lstrip()
            if self._OPENING.startswith(start):
                self._beginning = text
                return "", ""
            self._beginning = None
            self._split = ReasoningSplit(self._TAGS) if start.startswith(self._OPENING) else None
        return self._split.feed(text) if self._split else ("", text)

    def finish(self) -> tuple[str, str]:
        """What was held back."""
        return self._split.finish() if self._split else ("", self._beginning or "")


def describe_calls(calls: Sequence[Json], *, plain: bool) -> str:
    """What is said of the functions that a model wants to have called: nothing here could call them."""
    title, value, end = ("", "", "") if plain else (_TITLE, RESET, RESET)
    lines = []
    for call in calls:
        name = f"{value}{call['function']['name']}{title}"
        arguments = f"{value}{encode(call['function'].get('arguments') or {}).decode()}{title}"
        lines.append(f"  Model called a non-existent function '{name}()' with arguments: {arguments}")
    return title + "\n".join(lines) + end
