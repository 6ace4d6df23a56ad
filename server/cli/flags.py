"""Flags in the GNU style, also after positional arguments, with the error texts of Go's pflag library.

Source: pflag 1.0, flag.go (parseLongArg, parseSingleShortArg, Set) and FlagUsages for the two columns of the help.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from registry.gojson import quote
from server.cli.errors import UsageError

Value = bool | int | str


class Kind(Enum):
    """What a flag's text is read as; the value is the word that the help shows."""

    BOOL = ""
    INT = "int"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `bare` is the text that a flag without value stands for; a boolean's is always "true"."""

    name: str
    help: str
    kind: Kind = Kind.BOOL
    short: str = ""
    bare: str = ""
    hidden: bool = False

    @property
    def stands_alone(self) -> bool:
        """Whether the flag takes no value from the next argument."""
        return self.kind is Kind.BOOL or bool(self.bare)


@dataclass(frozen=True, slots=True)
class Arguments:
    """A parsed command line. `given` holds only the flags that were named."""

    positionals: tuple[str, ...]
    given: Mapping[str, Value]

    def is_given(self, name: str) -> bool:
        return name in self.given

    def flag(self, name: str) -> bool:
        """A boolean flag; False when it was not named."""
        return bool(self.given.get(name, False))

    def text(self, name: str) -> str:
        """A string flag; empty when it was not named."""
        return str(self.given.get(name, ""))

    def number(self, name: str) -> int:
        """An integer flag; 0 when it was not named."""
        return int(self.given.get(name, 0))


def parse_arguments(argv: Sequence[str], flags: Iterable[Flag]) -> Arguments:
    """Split a command line into flags and positional arguments; `--` ends the flags.

    Raises: UsageError.
    """
    long = {flag.name: flag for flag in flags}
    short = {flag.short: flag for flag in long.values() if flag.short}
    positionals: list[str] = []
    given: dict[str, Value] = {}
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            positionals += rest
            break
        if len(argument) < 2 or not argument.startswith("-"):
            positionals.append(argument)
        elif argument.startswith("--"):
            flag, text = _parse_long(argument, long, rest)
            given[flag.name] = _parse_value(flag, text)
        else:
            for flag, text in _parse_short(argument, short, rest):
                given[flag.name] = _parse_value(flag, text)
    return Arguments(tuple(positionals), given)


def _parse_long(argument: str, flags: Mapping[str, Flag], rest: list[str]) -> tuple[Flag, str]:
    name, has_value, text = argument[2:].partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: {argument}")
    flag = flags.get(name)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}")
    if has_value:
        return flag, text
    if flag.stands_alone:
        return flag, flag.bare or "true"
    if not rest:
        raise UsageError(f"flag needs an argument: {argument}")
    return flag, rest.pop(0)


def _parse_short(argument: str, flags: Mapping[str, Flag], rest: list[str]) -> Iterable[tuple[Flag, str]]:
    """One-letter flags may be run together; the first that takes a value takes all that follows."""
    letters = argument[1:]
    while letters:
        letter, tail = letters[0], letters[1:]
        flag = flags.get(letter)
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in -{letters}")
        if len(tail) > 1 and tail[0] == "=":
            yield flag, tail[1:]
            return
        if flag.stands_alone:
            yield flag, flag.bare or "true"
            letters = tail
            continue
        if tail:
            yield flag, tail
        elif rest:
            yield flag, rest.pop(0)
        else:
            raise UsageError(f"flag needs an argument: '{letter}' in -{letters}")
        return


_TRUE = frozenset(["1", "t", "T", "TRUE", "true", "True"])
_FALSE = frozenset(["0", "f", "F", "FALSE", "false", "False"])
_INT_MAX = 2**63 - 1


def _parse_value(flag: Flag, text: str) -> Value:
    match flag.kind:
        case Kind.STRING:
            return text
        case Kind.BOOL:
            if text not in _TRUE | _FALSE:
                raise _invalid(flag, text, "ParseBool", "invalid syntax")
            return text in _TRUE
        case Kind.INT:
            if not re.fullmatch(r"[+-]?[0-9]+", text):
                raise _invalid(flag, text, "ParseInt", "invalid syntax")
            if not -_INT_MAX - 1 <= int(text) <= _INT_MAX:
                raise _invalid(flag, text, "ParseInt", "value out of range")
            return int(text)


def _invalid(flag: Flag, text: str, function: str, reason: str) -> UsageError:
    name = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
    return UsageError(
        f'invalid argument {quote(text)} for "{name}" flag: strconv.{function}: parsing {quote(text)}: {reason}'
    )


def describe_flags(flags: Iterable[Flag]) -> str:
    """The two columns of a help screen, sorted by name, each line ended."""
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    names = [_describe_name(flag) for flag in shown]
    width = max((len(name) for name in names), default=0)
    return "".join(f"{name:<{width}}   {flag.help}\n" for name, flag in zip(names, shown, strict=True))


def _describe_name(flag: Flag) -> str:
    name = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    kind = f" {flag.kind.value}" if flag.kind.value else ""
    bare = f"[={quote(flag.bare)}]" if flag.bare else ""
    return name + kind + bare
