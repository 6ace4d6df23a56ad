"""Blocks of calls whose name stands before the arguments: Mistral's, DeepSeek's, Functionary's."""

from __future__ import annotations

from models.parsers.call_blocks import FoundCall, Incomplete, Malformed, TagWatch
from models.parsers.json_blocks import read_json, skip_blanks
from models.parsers.python_code import code_call
from models.parsers.steps import Expectations
from models.parsers.syntax import AddressedCalls, NamedCalls

_LONGEST_HEAD = 1024
"""Characters of a name, or of what stands between it and the arguments."""


class NamedCallReader:
    """A call with tags of its own, or several between an opening and a closing tag."""

    def __init__(self, syntax: NamedCalls, expectations: Expectations) -> None:
        self._syntax = syntax
        self._names = expectations.names
        self._openings = tuple(filter(None, (syntax.opening, *syntax.also)))
        self.starts = (*self._openings, syntax.begin)
        self.repeats = True

    def read(self, text: str, *, is_last: bool) -> tuple[list[FoundCall], int]:
        """The calls of a block. Raises: Incomplete, Malformed."""
        opening = next((tag for tag in self._openings if text.startswith(tag)), "")
        calls: list[FoundCall] = []
        at = len(opening)
        while True:
            call, at = self._read_call(text, at, is_last=is_last)
            calls.append(call)
            if not opening or (is_last and not text[at:].strip()):
                return calls, at
            tag, end = _expect_one(text, at, (self._syntax.closing, self._syntax.begin), is_last=is_last)
            if tag == self._syntax.closing:
                return calls, end

    def _read_call(self, text: str, at: int, *, is_last: bool) -> tuple[FoundCall, int]:
        _, at = _expect_one(text, at, (self._syntax.begin,))
        name, identity, at = self._read_head(text, at)
        arguments, at = read_json(text, skip_blanks(text, at), name)
        if not isinstance(arguments, dict):
            raise Malformed
        if self._syntax.end:
            _, at = _expect_one(text, at, (self._syntax.end,), is_last=is_last)
        return FoundCall(name, arguments, identity), at

    def _read_head(self, text: str, at: int) -> tuple[str, str, int]:
        """Name, id, and where the arguments begin. Raises: Incomplete, Malformed."""
        separator = self._syntax.separator.strip()
        head = text[at : at + _LONGEST_HEAD]
        before, found, _ = head.partition(separator)
        name, _, identity = before.partition(self._syntax.id_tag) if self._syntax.id_tag else (before, "", "")
        if found and name.strip() in self._names:
            return name.strip(), identity.strip(), at + len(before) + len(separator)
        if found or len(head) == _LONGEST_HEAD or not self._can_become_head(head.lstrip()):
            raise Malformed
        raise Incomplete

    def _can_become_head(self, head: str) -> bool:
        """Whether a text begins with the name of a tool and what may follow it, as far as it goes."""
        for name in self._names:
            rest = head[len(name) :].lstrip()
            tags = filter(None, (self._syntax.separator.strip(), self._syntax.id_tag))
            if name.startswith(head) or (head.startswith(name) and any(_agree(rest, tag) for tag in tags)):
                return True
        return False


class AddressedReader:
    """What Functionary 3.2 sends to a tool, or to everyone: that is content, only its address is not."""

    def __init__(self, syntax: AddressedCalls, expectations: Expectations) -> None:
        self._syntax = syntax
        self._everyone = f"{syntax.start}{syntax.everyone}\n"
        self._expectations = expectations
        self.starts = (self._everyone, *(f"{syntax.start}{name}\n" for name in expectations.names))
        self.repeats = True

    def read(self, text: str, *, is_last: bool) -> tuple[list[FoundCall], int]:
        """The call that the block is, if it is one. Raises: Incomplete, Malformed."""
        if text.startswith(self._everyone):
            return [], len(self._everyone)
        address, _, rest = text.partition("\n")
        name, at = address.removeprefix(self._syntax.start), len(address) + 1
        code = code_call(name, rest.partition("\n" + self._syntax.start)[0], self._expectations)
        if code is not None and not rest.lstrip().startswith("{"):
            end = text.find("\n" + self._syntax.start, at)
            if end < 0 and not is_last:
                raise Incomplete(watch=TagWatch("\n" + self._syntax.start, text) if rest.strip() else None)
            return [code], end + 1 if end >= 0 else len(text)
        arguments, end = read_json(text, skip_blanks(text, at), name)
        if not isinstance(arguments, dict):
            raise Malformed
        return [FoundCall(name, arguments)], end


def _agree(text: str, tag: str) -> bool:
    """Whether one begins with the other."""
    return text.startswith(tag) or tag.startswith(text)


def _expect_one(text: str, at: int, tags: tuple[str, ...], *, is_last: bool = False) -> tuple[str, int]:
    """Which of the tags follows, and where it ends; at the end of a reply it may be missing.

    Raises: Incomplete, Malformed.
    """
    at = skip_blanks(text, at)
    for tag in tags:
        if text.startswith(tag, at):
            return tag, at + len(tag)
    rest = text[at : at + max(map(len, tags))]
    if not any(tag.startswith(rest) for tag in tags):
        raise Malformed
    if is_last:
        return tags[0], len(text)
    raise Incomplete
