"""What a template uses, read off its tree: variables, and the tags around thoughts and calls.

The rules are Ollama's; models are served by what they find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from models.parsers.text import trim
from models.templates.errors import TemplateError
from models.templates.go.functions import FUNCTION_NAMES
from models.templates.go.nodes import (
    Action,
    Block,
    Branch,
    Chain,
    Field,
    If,
    Invoke,
    Node,
    Operand,
    Pipe,
    Range,
    Template,
    Text,
    Variable,
    With,
)
from models.templates.go.parser import parse_template

DEFAULT_CALL_TAG = "{"
"""What a call begins with in a template that says nothing else."""


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """`variables` in lower case; `$` and `$x` are among them.

    `thinking_tags` None: the template does not show thoughts. `tools_tag`: what a call begins with.
    """

    variables: frozenset[str]
    thinking_tags: tuple[str, str] | None
    tools_tag: str


def parse_plain(text: str) -> Template:
    """The tree of a template as it is written. Raises: TemplateError."""
    return parse_template(text, FUNCTION_NAMES)


@lru_cache(maxsize=256)
def analyse(text: str) -> TemplateFacts:
    """The facts of a template. Raises: TemplateError, in the words of Ollama."""
    template = parse_plain(text)
    tags = thinking_tags_of(template)
    return TemplateFacts(variables_of(template), tags if all(tags) else None, tools_tag_of(template))


# ---- variables -----------------------------------------------------------------------------------------------------


def variables_of(template: Template) -> frozenset[str]:
    """All names between dots, in lower case. Raises: TemplateError for `template "x"` without an argument."""
    blocks = (template.root, *template.defined.values())
    return frozenset(name.lower() for block in blocks for name in _block_names(block))


def _block_names(block: Block | None) -> Iterator[str]:
    for node in block.nodes if block else ():
        match node:
            case Action(pipe=pipe):
                yield from _pipe_names(pipe)
            case If() | Range() | With():
                yield from _pipe_names(node.pipe)
                yield from _block_names(node.then)
                yield from _block_names(node.otherwise)
            case Invoke(pipe=pipe):
                if pipe is None:
                    raise TemplateError("undefined template specified")
                yield from _pipe_names(pipe)


def _pipe_names(pipe: Pipe) -> Iterator[str]:
    for operand in (operand for command in pipe.commands for operand in command.arguments):
        match operand:
            case Field(names=names):
                yield from names
            case Variable(name=name, names=names):
                yield name
                yield from names
            case Pipe():
                yield from _pipe_names(operand)


# ---- the tag of calls ----------------------------------------------------------------------------------------------


def tools_tag_of(template: Template) -> str:
    """What stands before the calls that the template shows.

    # Compat: prompting 4.2.
    """
    shown = _first_calls(template.root)
    text = _first_text(shown.then.nodes) if shown else ""
    return trim((text or "").replace("\r\n", "\n").partition("{")[0]) or DEFAULT_CALL_TAG


def _first_calls(block: Block | None) -> If | None:
    """The first `if` that asks for calls."""
    for node in block.nodes if block else ():
        if isinstance(node, If) and _asks_for_calls(node.pipe):
            return node
        if isinstance(node, (If, Range, With)):
            found = _first_calls(node.then) or _first_calls(node.otherwise)
            if found:
                return found
    return None


def _asks_for_calls(pipe: Pipe) -> bool:
    operands = (operand for command in pipe.commands for operand in command.arguments)
    return any(isinstance(operand, Field) and "ToolCalls" in operand.names for operand in operands)


def _first_text(nodes: tuple[Node, ...]) -> str | None:
    """The first text that is not blank; None where an action comes before it."""
    for node in nodes:
        match node:
            case Text(text=text) if trim(text):
                return text
            case If() | Range() | With():
                return _first_text((*node.then.nodes, *(node.otherwise.nodes if node.otherwise else ())))
            case Action():
                return None
    return None


# ---- the tags of thoughts ------------------------------------------------------------------------------------------


def thinking_tags_of(template: Template) -> tuple[str, str]:
    """The texts around `.Thinking` in a range over messages, each empty if there is none.

    # Compat: prompting 5.2.
    """
    finder = _TagFinder()
    finder.visit_block(template.root)
    return finder.opening, finder.closing


class _TagFinder:
    """Walks a template; the last place where `.Thinking` stands between texts wins."""

    def __init__(self) -> None:
        self.opening = self.closing = ""
        self._blocks: list[Block] = []
        self._ranges: list[Range] = []

    def visit_block(self, block: Block | None) -> None:
        if block is None:
            return
        self._blocks.append(block)
        for node in block.nodes:
            self._visit_node(node)
        self._blocks.pop()

    def _visit_node(self, node: Node) -> None:
        match node:
            case Action(pipe=pipe) | Invoke(pipe=Pipe() as pipe):
                self._visit_pipe(pipe)
            case If() | With():
                self._visit_branch(node)
            case Range():
                self._ranges.append(node)
                self._visit_branch(node)
                self._ranges.pop()

    def _visit_branch(self, node: Branch) -> None:
        self._visit_pipe(node.pipe)
        self.visit_block(node.then)
        self.visit_block(node.otherwise)

    def _visit_pipe(self, pipe: Pipe) -> None:
        for operand in (operand for command in pipe.commands for operand in command.arguments):
            self._visit_operand(operand)

    def _visit_operand(self, operand: Operand) -> None:
        match operand:
            case Pipe():
                self._visit_pipe(operand)
            case Chain(operand=inner):
                self._visit_operand(inner)
            case Field(names=names) if names[0] == "Thinking":
                self._found()

    def _found(self) -> None:
        if not self._ranges or not _ranges_over_messages(self._ranges[-1].pipe):
            return
        first, last = self._blocks[-1].nodes[0], self._blocks[-1].nodes[-1]
        if isinstance(first, Text):
            self.opening = trim(first.text)
        if isinstance(last, Text):
            self.closing = trim(last.text)


def _ranges_over_messages(pipe: Pipe) -> bool:
    operands = [operand for command in pipe.commands for operand in command.arguments]
    return any(
        (isinstance(operand, Field) and operand.names[0] == "Messages")
        or (isinstance(operand, Pipe) and _ranges_over_messages(operand))
        for operand in operands
    )
