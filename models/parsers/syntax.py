"""How a model writes its thoughts and its calls, as its chat template shows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

PYTHON_TAG = "<|python_tag|>"
"""Llama's: JSON, a call in Python's way, or code to run stands behind it."""

_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]|◁[^◁▷]+▷")


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """The tags around thoughts, with the whitespace that the template puts inside and after them.

    An empty `start`: the reply begins with a thought.
    """

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class JsonCalls:
    """Calls as JSON objects between tags.

    `start` keeps its whitespace at the end, `end` is trimmed; both may be empty. `repeats`: each call has its own tags.
    `wrapper`: the member that holds name and arguments, if they are not at the top. `name_is_key`: `{"f": {…}}`.
    `also`: other texts that models put before calls, though the template does not.
    """

    start: str
    end: str
    repeats: bool = False
    in_array: bool = False
    name_key: str = "name"
    arguments_key: str = "arguments"
    id_key: str = ""
    wrapper: str = ""
    name_is_key: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedCalls:
    """Each call is `begin NAME separator {arguments} end`; all of them stand between `opening` and `closing`.

    `id_tag`: what may stand with an id between name and separator.
    """

    begin: str
    separator: str
    end: str = ""
    opening: str = ""
    closing: str = ""
    id_tag: str = ""
    also: tuple[str, ...] = ()


class Body(Enum):
    """How a call is written that is read once its end tag has come."""

    QWEN_XML = auto()
    """`<function=NAME><parameter=KEY>value</parameter></function>`"""
    GLM_XML = auto()
    """`NAME<arg_key>KEY</arg_key><arg_value>value</arg_value>`"""
    PYTHON = auto()
    """`[name(key="value"), …]`"""
    PYTHON_LINES = auto()
    """`name(key="value")`, a line for each call"""
    GEMMA = auto()
    """`call:NAME{key:<|"|>text<|"|>,…}`"""
    FUNCTION_GEMMA = auto()
    """`call:NAME{key:<escape>text<escape>,…}`, in one line"""


@dataclass(frozen=True, slots=True)
class BodyCalls:
    """`start`, a body, `end`."""

    start: str
    end: str
    body: Body


@dataclass(frozen=True, slots=True)
class AddressedCalls:
    """Functionary 3.2: everything follows `>>>` and whom it is for: a tool with its arguments, or `all`."""

    start: str = ">>>"
    everyone: str = "all"


@dataclass(frozen=True, slots=True)
class HarmonyCalls:
    """Harmony: messages in channels, of which thoughts and calls are two kinds."""


@dataclass(frozen=True, slots=True)
class AtemCalls:
    """Glimmer: messages to tools, each with an XML of its own; thoughts are messages too."""


CallSyntax = JsonCalls | NamedCalls | BodyCalls | AddressedCalls | HarmonyCalls
"""Those that a chat template may show."""
CallForm = CallSyntax | AtemCalls


def tags_of(syntax: CallForm | ReasoningTags | None) -> tuple[str, ...]:
    """The tags that are read, each once; they may be control tokens of the model."""
    match syntax:
        case ReasoningTags():
            return _tags_in(syntax.start, syntax.end)
        case JsonCalls():
            return _tags_in(syntax.start, syntax.end, *syntax.also)
        case NamedCalls():
            parts = (syntax.opening, syntax.begin, syntax.id_tag, syntax.separator, syntax.end, syntax.closing)
            return _tags_in(*parts, *syntax.also)
        case BodyCalls():
            return _tags_in(syntax.start, syntax.end, *_BODY_TAGS[syntax.body])
        case HarmonyCalls():
            return HARMONY_TAGS
        case AtemCalls():
            return ATEM_TAGS
        case AddressedCalls() | None:
            return ()
        case _:
            assert_never(syntax)


HARMONY_TAGS = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>")
ATEM_TAGS = ("<|start|>", "<|message|>", "<|eom|>", "</atem:parameter>")
_BODY_TAGS = {
    Body.QWEN_XML: ("<function=", "</function>", "<parameter=", "</parameter>"),
    Body.GLM_XML: ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    Body.PYTHON: (),
    Body.PYTHON_LINES: (),
    Body.GEMMA: ('<|"|>',),
    Body.FUNCTION_GEMMA: ("<escape>",),
}


def _tags_in(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for text in texts for tag in _TAG.findall(text)))
