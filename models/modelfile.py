"""Modelfiles: the text that describes a model, read into commands and written from them.

The grammar is Ollama's with all its corners (registry-store-cli 6.7).
"""

from __future__ import annotations

import codecs
import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from models import options
from models.errors import ModelfileError
from registry.gojson import Float32, encode

COMMANDS: Final = (
    *("from", "license", "template", "system", "adapter", "draft", "renderer", "parser"),
    *("parameter", "message", "requires"),
)
ROLES: Final = ("system", "user", "assistant")

DEPRECATED_PARAMETERS: Final = frozenset(
    ("penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock")
)
"""Parameters that are skipped with a warning (registry-store-cli 6.7)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `name` is one of COMMANDS; `key` the name of a parameter or the role of a message; `line` from 1."""

    name: str
    value: str
    key: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Modelfile:
    """The commands of a file, in its order."""

    commands: tuple[Command, ...]

    def values(self, name: str) -> tuple[str, ...]:
        """The values of all commands of this name."""
        return tuple(command.value for command in self.commands if command.name == name)

    def last(self, name: str) -> str:
        """The value that counts of a command that should be there once; empty without one."""
        return (self.values(name) or ("",))[-1]


# --------------------------------------------------------------------------------------------------------------------
# Reading


def decode_modelfile(raw: bytes) -> str:
    """The text of a file: UTF-16 or UTF-8 as its byte order mark says, UTF-8 without one."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace")
    return raw.decode("utf-8", "replace")


_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def parse_modelfile(text: str) -> Modelfile:
    """Read a Modelfile. Raises: ModelfileError, with Ollama's wording.

    # Compat: registry-store-cli 6.7; parser/parser.go ParseFile 0.33.
    """
    scanner, commands = _Scanner(text), list[Command]()
    while (command := scanner.next_command()) is not None:
        commands.append(command)
    if not any(command.name == "from" for command in commands):
        raise ModelfileError("no FROM line")
    return Modelfile(tuple(commands))


class _Scanner:
    """Where in the text we are; `line` counts from 1."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1

    def next_command(self) -> Command | None:
        """The next command, None at the end."""
        self._skip_blank()
        if self._at == len(self._text):
            return None
        line = self._line
        # Compat: whatever stands there begins a name; only its further characters have to be letters.
        name = (_printable(self._take()) + self._take_while(_LETTERS)).lower()
        if self._take_separator() not in " \t" or name not in COMMANDS:
            raise ModelfileError(f"(line {self._line}): {_COMMAND_EXPECTED}")
        key = self._read_key(_KEY_CHARACTERS[name]) if name in _KEY_CHARACTERS else ""
        if name == "message" and key not in ROLES:
            raise ModelfileError(f'(line {self._line}): message role must be one of "system", "user", or "assistant"')
        return Command(name, self._read_value(), key, line)

    def _skip_blank(self) -> None:
        while self._take_while(_BLANK) or self._text.startswith("#", self._at):
            if self._text.startswith("#", self._at):
                self._take_while(_REST_OF_LINE)

    def _read_key(self, characters: re.Pattern[str]) -> str:
        key = self._take_while(characters)
        if self._take_separator() not in " \t":
            raise ModelfileError(f"unexpected EOF: {key}")
        return key

    def _read_value(self) -> str:
        """The rest of the line, and further lines until the quotes are balanced."""
        parts = [_printable(self._take_while(_REST_OF_LINE))]
        quotes = next((q for q in ('"""', '"') if parts[0].lstrip().startswith(q)), "")
        while quotes and not _is_closed(parts, quotes):
            if self._at == len(self._text):
                raise ModelfileError("unexpected EOF")
            parts += [self._take(), _printable(self._take_while(_REST_OF_LINE))]
        return "".join(parts).strip().removeprefix(quotes).removesuffix(quotes)

    def _take(self) -> str:
        character = self._text[self._at]
        self._at += 1
        # Compat: carriage return and line feed each count, so that CRLF is two lines in the messages.
        self._line += character in "\r\n"
        return character

    def _take_separator(self) -> str:
        if self._at == len(self._text):
            raise ModelfileError("unexpected EOF")
        return self._take()

    def _take_while(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        taken = match[0] if match else ""
        self._at += len(taken)
        self._line += taken.count("\r") + taken.count("\n")
        return taken


_BLANK: Final = re.compile(r"[ \t\r\n]+")
_LETTERS: Final = re.compile(r"[A-Za-z]+")
_REST_OF_LINE: Final = re.compile(r"[^\r\n]+")
_KEY_CHARACTERS: Final = {"parameter": re.compile(r"[A-Za-z0-9_]+"), "message": _LETTERS}
_COMMAND_EXPECTED: Final = "command must be one of " + ", ".join(f'"{c}"' for c in COMMANDS[:-1]) + ', or "requires"'


def _is_closed(parts: list[str], quotes: str) -> bool:
    """Whether the last line ends with the quotes that the first one opened."""
    n_quotes = 2 if len(parts) == 1 else 1
    return parts[-1].rstrip().endswith(quotes) and len(parts[-1].strip()) >= n_quotes * len(quotes)


def _printable(text: str) -> str:
    """# Compat: what does not print is dropped: zero-width joiners, no-break spaces, control characters."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable() or c == "\t")


# --------------------------------------------------------------------------------------------------------------------
# Parameters

ParameterValue = int | float | bool | list[str]


def parameters_of(modelfile: Modelfile) -> tuple[dict[str, ParameterValue], tuple[str, ...]]:
    """The parameters of a Modelfile with their types, and the names of those that are deprecated, in order.

    Lists accumulate, of other parameters the last one counts. Raises: ModelfileError.
    """
    found: dict[str, ParameterValue] = {}
    deprecated: list[str] = []
    for command in modelfile.commands:
        if command.name != "parameter":
            continue
        if command.key in DEPRECATED_PARAMETERS:
            deprecated.append(command.key)
            continue
        value, before = parse_parameter(command.key, command.value), found.get(command.key)
        found[command.key] = before + value if isinstance(value, list) and isinstance(before, list) else value
    return found, tuple(deprecated)


def parse_parameter(name: str, text: str) -> ParameterValue:
    """The value of one parameter in its type; a list has one element. Raises: ModelfileError.

    # Compat: registry-store-cli 6.7; api/types.go FormatParams 0.33.
    """
    if name in options.FLOATS:
        return _parse_float(text)
    if name in options.INTEGERS:
        if not re.fullmatch(r"[+-]?[0-9]{1,40}", text) or not -(2**63) <= int(text) < 2**63:
            raise ModelfileError(f"invalid int value [{text}]")
        return int(text)
    if name in options.BOOLEANS:
        if text not in _BOOLEANS:
            raise ModelfileError(f"invalid bool value [{text}]")
        return _BOOLEANS[text]
    if name in options.NAMES:
        return [text]
    raise ModelfileError(f"unknown parameter '{name}'")


_BOOLEANS: Final = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


def _parse_float(text: str) -> float:
    """A float32, as the float64 that is written like it."""
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) and _fits_float32(float(text)):
        return float(encode(Float32(float(text))))
    raise ModelfileError(f"invalid float value [{text}]")


def _fits_float32(number: float) -> bool:
    return math.isfinite(struct.unpack("f", struct.pack("f", number))[0])


# --------------------------------------------------------------------------------------------------------------------
# Writing


def format_modelfile(commands: Iterable[Command]) -> str:
    """One line per command, or several where a value has line breaks.

    # Compat: registry-store-cli 6.9: a value that merely starts with a quote is not protected.
    """
    return "".join(f"{c.name.upper()}{f' {c.key}' if c.key else ''} {quote(c.value)}\n" for c in commands)


def quote(value: str) -> str:
    """The value in quotes where it needs them."""
    if "\n" not in value and not value.startswith(" ") and not value.endswith(" "):
        return value
    return f'"""{value}"""' if '"' in value else f'"{value}"'
