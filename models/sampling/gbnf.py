"""Grammars in GBNF, llama.cpp's form, as grammars in llguidance's form of Lark.

A rule that nothing refers back to is a terminal: text that is matched like a regular expression. Tokens that are named
become rules of which no two have a token in common, `!<a>` becomes all of them but one: of two things that one token
may be, llguidance sees only one.
Source: llama.cpp, llama_grammar_parser, which says nothing of where a grammar is wrong.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from models.sampling.constraint_errors import GrammarError

MAX_DEPTH = 100
"""Groups within groups."""
MAX_TOKENS = 256
"""Tokens that a grammar may name."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANKS_AND_LINES = re.compile(r"(?:\s|#[^\r\n]*)*")
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_CLASS = re.compile(r"\[(\^?)((?:[^\]\\]|\\.)*)\]", re.DOTALL)
_TOKEN = re.compile(r"(!?)(?:<\[(\d+)\]>|(<(?!\[)[^>]*>))")
_REPETITION = re.compile(r"([*+?])|\{\s*(\d+)\s*(?:(,)\s*(\d*)\s*)?\}")
_CHARACTER = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([trn\\\"\[\]-]))|[^\\]", re.DOTALL
)
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}
_ANYTHING = r"/(.|\n)/"


class _Ref(NamedTuple):
    """A rule that is referred to, and the place where."""

    name: str
    at: int


class _Token(NamedTuple):
    """A token that is named; or all others."""

    number: int
    is_other: bool

    @property
    def rule(self) -> str:
        return f"{'not' if self.is_other else 't'}_{self.number}"


class Tokens(Protocol):
    """See models.sampling.named_tokens."""

    n_tokens: int

    @property
    def sayable(self) -> frozenset[int]: ...
    def find(self, text: str) -> int | None: ...
    def is_sayable(self, token: int) -> bool: ...


_Parts = list[str | _Ref | _Token]


@dataclass(slots=True)
class _Rule:
    parts: _Parts

    @property
    def tokens(self) -> Iterator[_Token]:
        return (part for part in self.parts if isinstance(part, _Token))

    @property
    def refs(self) -> Iterator[_Ref]:
        return (part for part in self.parts if isinstance(part, _Ref))


def to_lark(text: str, tokens: Tokens) -> str:
    """The same grammar, its rule `root` called `start`. Raises: GrammarError."""
    rules = _Reader(text, tokens).rules()
    for rule in rules.values():
        for ref in rule.refs:
            if ref.name not in rules:
                raise GrammarError(text, ref.at, f"there is no rule '{ref.name}'")
    if "root" not in rules:
        raise GrammarError(text, len(text), "there is no rule 'root'")
    terminals = _terminals(rules)
    names = {name: _lark_name(name, i, is_terminal=name in terminals) for i, name in enumerate(rules)}
    lines = [f"start: {names['root']}"]
    for name, rule in rules.items():
        lines.append(f"{names[name]}: " + " ".join(_lark_part(part, names) for part in rule.parts))
    named = {token for rule in rules.values() for token in rule.tokens}
    return "\n".join((*lines, *_token_rules(named, tokens)))


def _lark_part(part: str | _Ref | _Token, names: dict[str, str]) -> str:
    match part:
        case _Ref(name=name):
            return names[name]
        case _Token():
            return part.rule
        case _:
            return part


def _token_rules(named: set[_Token], tokens: Tokens) -> Iterator[str]:
    """Each of the tokens that are named, all that are not, and what is made of these."""
    numbers = sorted({token.number for token in named})
    yield from (f"t_{number}: <[{number}]>" for number in numbers)
    others = sorted(token for token in named if token.is_other)
    if others:
        yield f"t_rest: <[{_ranges(sorted(tokens.sayable - set(numbers)))}]>"
    for other in others:
        yield " | ".join((f"{other.rule}: t_rest", *(f"t_{n}" for n in numbers if n != other.number)))


def _ranges(numbers: list[int]) -> str:
    """`[1, 2, 3, 7]` → `1-3,7`."""
    starts = [n for i, n in enumerate(numbers) if i == 0 or numbers[i - 1] != n - 1]
    ends = [n for i, n in enumerate(numbers) if i + 1 == len(numbers) or numbers[i + 1] != n + 1]
    return ",".join(f"{start}-{end}" if start < end else f"{start}" for start, end in zip(starts, ends, strict=True))


def _lark_name(name: str, i: int, *, is_terminal: bool) -> str:
    """One that no other rule has, whatever their cases and dashes."""
    found = f"r_{re.sub(r'[^a-z0-9]', '_', name.lower())}_{i}"
    return found.upper() if is_terminal else found


def _terminals(rules: dict[str, _Rule]) -> set[str]:
    """The rules that neither come back to themselves nor name tokens, nor any rule that does."""
    users: dict[str, list[str]] = {name: [] for name in rules}
    n_open = dict.fromkeys(rules, 0)
    for name, rule in rules.items():
        for used in {ref.name for ref in rule.refs}:
            users[used].append(name)
            n_open[name] += 1
    found: set[str] = set()
    has_tokens = {name: any(rule.tokens) for name, rule in rules.items()}
    ready = [name for name in rules if not n_open[name] and not has_tokens[name]]
    while ready:
        done = ready.pop()
        found.add(done)
        for user in users[done]:
            n_open[user] -= 1
            if not n_open[user] and not has_tokens[user]:
                ready.append(user)
    return found


class _Reader:
    """Goes through a text once, from its beginning to its end."""

    def __init__(self, text: str, tokens: Tokens) -> None:
        self._text = text
        self._tokens = tokens
        self._named: set[int] = set()
        self._at = 0

    def rules(self) -> dict[str, _Rule]:
        """By name; of two with one name the second counts."""
        found: dict[str, _Rule] = {}
        self._skip(over_lines=True)
        while self._at < len(self._text):
            name = self._name()
            self._skip()
            self._expect("::=", f"after the name of a rule: '{name}'")
            self._skip(over_lines=True)
            found[name] = _Rule(self._alternatives(0))
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._wrong(f"{self._seen()} cannot stand here")
            self._skip(over_lines=True)
        return found

    def _alternatives(self, depth: int) -> _Parts:
        parts = self._sequence(depth)
        while self._text.startswith("|", self._at):
            self._at += 1
            self._skip(over_lines=True)
            parts += ["|", *self._sequence(depth)]
        return parts

    def _sequence(self, depth: int) -> _Parts:
        parts: _Parts = []
        item = deque[str | _Ref | _Token]()
        while self._at < len(self._text):
            if self._text[self._at] in "*+?{":
                self._repeat(item)
            elif (found := self._item(depth)) is not None:
                parts += item
                item = deque(found)
            else:
                break
            self._skip(over_lines=depth > 0)
        return [*parts, *item] or ['""']

    def _item(self, depth: int) -> _Parts | None:
        """The next item; None where there is none."""
        at, char = self._at, self._text[self._at]
        if char == '"':
            return [self._literal()]
        if char == "[":
            return [self._class()]
        if char == "(":
            return self._group(depth + 1)
        if char == ".":
            self._at += 1
            return [_ANYTHING]
        if char in "<!":
            return [self._token()]
        return [_Ref(self._name(), at)] if _NAME.match(char) else None

    def _group(self, depth: int) -> _Parts:
        if depth > MAX_DEPTH:
            raise self._wrong("too deep a recursion of groups")
        at = self._at
        self._at += 1
        self._skip(over_lines=True)
        parts = self._alternatives(depth)
        if self._at >= len(self._text):
            raise GrammarError(self._text, at, "this '(' is not closed")
        self._expect(")", "after a group")
        return ["(", *parts, ")"]

    def _literal(self) -> str:
        found = _LITERAL.match(self._text, self._at)
        if found is None:
            raise self._wrong("this quote is not closed")
        chars = "".join(self._chars(found.start(1), found.end(1)))
        self._at = found.end()
        return '"' + "".join(_in_string(char) for char in chars) + '"'

    def _class(self) -> str:
        found = _CLASS.match(self._text, self._at)
        if found is None:
            raise self._wrong("this '[' is not closed")
        if not found[2]:
            raise self._wrong("these brackets are empty")
        ranges = "".join(self._ranges(found.start(2), found.end(2)))
        self._at = found.end()
        return f"/[{found[1]}{ranges}]/"

    def _ranges(self, start: int, end: int) -> Iterator[str]:
        """The characters of a class, and those between two that have a dash between them."""
        chars = [(found[0], _character(found)) for found in self._characters(start, end)]
        i = 0
        while i < len(chars):
            first = chars[i][1]
            if i + 2 < len(chars) and chars[i + 1][0] == "-":
                last = chars[i + 2][1]
                if last < first:
                    raise self._wrong(f"the range {chars[i][0]}-{chars[i + 2][0]} ends before it begins")
                yield f"{_in_regex(first)}-{_in_regex(last)}"
                i += 3
            else:
                yield _in_regex(first)
                i += 1

    def _chars(self, start: int, end: int) -> Iterator[str]:
        return (_character(found) for found in self._characters(start, end))

    def _characters(self, start: int, end: int) -> Iterator[re.Match[str]]:
        at = start
        while at < end:
            found = _CHARACTER.match(self._text, at, end)
            if found is None or not _is_character(int(found[2] or found[3] or "0", 16)):
                raise GrammarError(self._text, at, f"unknown escape '{self._text[at : at + 2]}'")
            yield found
            at = found.end()

    def _token(self) -> _Token:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._wrong("a token is written as <[number]> or <text>")
        number = int(found[2]) if found[2] else self._tokens.find(found[3])
        if number is None:
            raise self._wrong(f"{found[3]} is no single token of this model")
        if number >= self._tokens.n_tokens:
            raise self._wrong(f"this model has no token {number}")
        if not self._tokens.is_sayable(number):
            raise self._wrong(f"a reply cannot have token {number} in it")
        self._named.add(number)
        if len(self._named) > MAX_TOKENS:
            raise self._wrong(f"a grammar may name {MAX_TOKENS} tokens")
        self._at = found.end()
        return _Token(number, bool(found[1]))

    def _repeat(self, item: deque[str | _Ref | _Token]) -> None:
        """Put a group around an item, with the repetition that stands behind it."""
        found = _REPETITION.match(self._text, self._at)
        if found is None:
            raise self._wrong("a repetition is written as {2}, {2,} or {2,5}")
        if not item:
            raise self._wrong(f"nothing stands before this '{found[0]}'")
        sign, least, comma, most = found.groups()
        most = most if comma else least
        if most and int(most) < int(least):
            raise self._wrong(f"{found[0]} ends before it begins")
        self._at = found.end()
        if most and int(most) == 0:  # which Lark does not know
            item.clear()
            item.append('""')
        else:
            item.appendleft("(")
            item.append(")" + (sign or f"{{{least},{most}}}"))

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._wrong(f"the name of a rule is expected, not {self._seen()}")
        self._at = found.end()
        return found[0]

    def _expect(self, sign: str, where: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise self._wrong(f"'{sign}' is expected {where}, not {self._seen()}")
        self._at += len(sign)

    def _skip(self, *, over_lines: bool = False) -> None:
        found = (_BLANKS_AND_LINES if over_lines else _BLANKS).match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _seen(self) -> str:
        return repr(self._text[self._at]) if self._at < len(self._text) else "the end"

    def _wrong(self, what: str) -> GrammarError:
        return GrammarError(self._text, self._at, what)


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code:
        return chr(int(code, 16))
    return _CONTROLS.get(found[4], found[4]) if found[4] else found[0]


def _is_character(code: int) -> bool:
    return code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF


def _in_string(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() or ord(char) > 0xFFFF else f"\\u{ord(char):04x}"


def _in_regex(char: str) -> str:
    return char if char.isascii() and char.isalnum() else f"\\x{{{ord(char):x}}}"
