"""Cuts a template into tokens.

Source: Go, text/template/parse/lex.go; the texts of errors are those of Go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from models.templates.errors import TemplateError
from registry.gojson import quote


class Kind(Enum):
    TEXT = auto()
    OPEN = auto()
    CLOSE = auto()
    SPACE = auto()
    KEYWORD = auto()
    FUNCTION = auto()
    FIELD = auto()
    VARIABLE = auto()
    DOT = auto()
    NIL = auto()
    BOOL = auto()
    NUMBER = auto()
    CHARACTER = auto()
    STRING = auto()
    RAW_STRING = auto()
    DECLARE = auto()
    ASSIGN = auto()
    PIPE = auto()
    LEFT_PAREN = auto()
    RIGHT_PAREN = auto()
    PUNCTUATION = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """`at` is the offset in the template's text."""

    kind: Kind
    text: str
    at: int

    def __str__(self) -> str:
        """As Go names it in an error."""
        if self.kind is Kind.END:
            return "EOF"
        if self.kind in (Kind.KEYWORD, Kind.NIL, Kind.DOT):
            return f"<{self.text}>"
        return quote(self.text[:10]) + "..." if len(self.text) > 10 else quote(self.text)


KEYWORDS = frozenset({"block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"})
_SPACES = " \t\r\n"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"\w+")
_DECIMAL = re.compile(r"[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]+)?i?")
_NUMBERS = {
    "0x": re.compile(r"0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]+)?i?"),
    "0o": re.compile(r"0[oO][0-7_]*i?"),
    "0b": re.compile(r"0[bB][01_]*i?"),
}
_TERMINATORS = " \t\r\n.,|:()"
_SIMPLE = {"|": Kind.PIPE, "=": Kind.ASSIGN, "(": Kind.LEFT_PAREN}


def tokens(text: str) -> Iterator[Token]:
    """All tokens, `END` the last. Raises: TemplateError."""
    return _Lexer(text).run()


def parse_error(text: str, at: int, message: str) -> TemplateError:
    """The error of a template that cannot be parsed, with the line of an offset."""
    return TemplateError(f"template: :{text.count(chr(10), 0, at) + 1}: {message}")


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def run(self) -> Iterator[Token]:
        trims_next = False
        while True:
            opened = self._text.find("{{", self._at)
            yield from self._plain(opened, trims_next)
            if opened < 0:
                yield Token(Kind.END, "", len(self._text))
                return
            self._at = opened + (4 if self._trims_before(opened) else 2)
            comment = self._comment()
            if comment is None:
                yield Token(Kind.OPEN, "{{", opened)
                yield from self._action()
            trims_next = self._close()
            if comment is None:
                yield Token(Kind.CLOSE, "}}", self._at - 2)

    # ---- text and delimiters

    def _trims_before(self, opened: int) -> bool:
        marker = self._text[opened + 2 : opened + 4]
        return len(marker) == 2 and marker[0] == "-" and marker[1] in _SPACES

    def _plain(self, opened: int, trims_start: bool) -> Iterator[Token]:
        text = self._text[self._at : opened if opened >= 0 else None]
        at = self._at
        if trims_start:
            at += len(text) - len(text.lstrip(_SPACES))
            text = text.lstrip(_SPACES)
        if opened >= 0 and self._trims_before(opened):
            text = text.rstrip(_SPACES)
        if text:
            yield Token(Kind.TEXT, text, at)

    def _comment(self) -> str | None:
        if not self._text.startswith("/*", self._at):
            return None
        comment = _COMMENT.match(self._text, self._at)
        if comment is None:
            raise self._error("unclosed comment")
        self._at = comment.end()
        if self._closing() is None:
            raise self._error("comment ends before closing delimiter")
        return comment[0]

    def _closing(self) -> int | None:
        """The length of the right delimiter here, with its trim marker; None if there is none."""
        if self._text.startswith("}}", self._at):
            return 2
        mark = self._text[self._at : self._at + 4]
        return 4 if len(mark) == 4 and mark[0] in _SPACES and mark[1:] == "-}}" else None

    def _close(self) -> bool:
        length = self._closing()
        assert length is not None
        self._at += length
        return length == 4

    # ---- inside an action

    def _action(self) -> Iterator[Token]:
        depth = 0
        while (closing := self._closing()) is None:
            token = self._token()
            depth += {Kind.LEFT_PAREN: 1, Kind.RIGHT_PAREN: -1}.get(token.kind, 0)
            if depth < 0:
                raise self._error("unexpected right paren")
            yield token
        if depth and closing:
            raise self._error("unclosed left paren")

    def _token(self) -> Token:
        if self._at >= len(self._text):
            raise self._error("unclosed action")
        character = self._text[self._at]
        following = self._text[self._at + 1 : self._at + 2]
        if character in _SPACES:
            return self._space()
        if character in _SIMPLE:
            return self._take(_SIMPLE[character], 1)
        if character == ")":
            return self._take(Kind.RIGHT_PAREN, 1)
        if character == ":":
            if following != "=":
                raise self._error("expected :=")
            return self._take(Kind.DECLARE, 2)
        if character in "\"'`":
            return self._quoted(character)
        if character == "$":
            return self._member(Kind.VARIABLE)
        if character in "+-" or character.isdigit() or (character == "." and following.isdigit()):
            return self._number()
        if character == ".":
            return self._member(Kind.FIELD)
        if character == "_" or character.isalnum():
            return self._word()
        if character.isascii() and character.isprintable():
            return self._take(Kind.PUNCTUATION, 1)
        raise self._error(f"unrecognized character in action: {_code_point(character)}")

    def _take(self, kind: Kind, length: int) -> Token:
        token = Token(kind, self._text[self._at : self._at + length], self._at)
        self._at += length
        return token

    def _space(self) -> Token:
        end = self._at
        while end < len(self._text) and self._text[end] in _SPACES:
            # A space before a trim marker belongs to the delimiter.
            if self._text.startswith("-}}", end + 1) and end > self._at:
                break
            end += 1
        return self._take(Kind.SPACE, end - self._at)

    def _quoted(self, mark: str) -> Token:
        what = {'"': "quoted string", "`": "raw quoted string", "'": "character constant"}[mark]
        end = self._at + 1
        while end < len(self._text) and self._text[end] != mark:
            if self._text[end] == "\n" and mark != "`":
                raise self._error(f"unterminated {what}")
            end += 2 if self._text[end] == "\\" and mark != "`" else 1
        if end >= len(self._text):
            raise self._error(f"unterminated {what}")
        kind = {'"': Kind.STRING, "`": Kind.RAW_STRING, "'": Kind.CHARACTER}[mark]
        return self._take(kind, end + 1 - self._at)

    def _member(self, kind: Kind) -> Token:
        word = _WORD.match(self._text, self._at + 1)
        end = word.end() if word else self._at + 1
        token = self._take(kind if word or kind is Kind.VARIABLE else Kind.DOT, end - self._at)
        self._expect_terminator()
        return token

    def _word(self) -> Token:
        word = _WORD.match(self._text, self._at)
        assert word is not None
        kinds = {"true": Kind.BOOL, "false": Kind.BOOL, "nil": Kind.NIL}
        kind = kinds.get(word[0], Kind.KEYWORD if word[0] in KEYWORDS else Kind.FUNCTION)
        token = self._take(kind, len(word[0]))
        self._expect_terminator()
        return token

    def _expect_terminator(self) -> None:
        following = self._text[self._at : self._at + 1]
        if following and following not in _TERMINATORS and not self._text.startswith("}}", self._at):
            raise self._error(f"bad character {_code_point(following)}")

    def _number(self) -> Token:
        signed = self._at + (self._text[self._at] in "+-")
        pattern = _NUMBERS.get(self._text[signed : signed + 2].lower(), _DECIMAL)
        number = pattern.match(self._text, signed)
        assert number is not None
        following = self._text[number.end() : number.end() + 1]
        if following == "_" or following.isalnum():
            raise self._error(f"bad number syntax: {quote(self._text[self._at : number.end() + 1])}")
        return self._take(Kind.NUMBER, number.end() - self._at)

    def _error(self, message: str) -> TemplateError:
        return parse_error(self._text, self._at, message)


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X} '{character}'" if character.isprintable() else f"U+{ord(character):04X}"
