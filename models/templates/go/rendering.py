"""A TEMPLATE layer at work: the three ways in which Ollama fills it (prompting.md 1.6 to 1.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache

from models.templates.chat import Message, Think, Tool
from models.templates.collation import collate
from models.templates.go.analysis import variables_of
from models.templates.go.chat_values import MessageValue, ToolValue
from models.templates.go.functions import FUNCTION_NAMES, builtins
from models.templates.go.interpreter import execute
from models.templates.go.nodes import Action, Block, Command, Field, If, Node, Operand, Pipe, Range, Template, With
from models.templates.go.parser import parse_template
from models.templates.go.values import TextList, Value
from models.templates.limits import Budget, n_chars, walks_values


class GoTemplate:
    """A parsed template. `variables` are the names it uses, in lower case."""

    def __init__(self, text: str) -> None:
        """Raises: TemplateError, in the words of Ollama."""
        template = parse_template(text, FUNCTION_NAMES)
        self.text = text
        self.variables = variables_of(template)
        if not self.variables & {"messages", "response"}:
            # Compat: prompting 1.5: where nothing says where the reply goes, it goes to the end.
            template = _appended(template, parse_template("{{ .Response }}", FUNCTION_NAMES).root.nodes)
            self.variables |= {"response"}
        self._template = template
        self._opening = Template(text, _until_response(template.root), {})

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        think: Think | None = None,
        *,
        today: Callable[[], date] = date.today,
    ) -> str:
        """The prompt of a chat. Raises: TemplateError."""
        return self.fill(messages, tools, thinking_values(think), today=today)

    @walks_values
    def fill(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        thinking: Mapping[str, Value],
        *,
        today: Callable[[], date] = date.today,
    ) -> str:
        """As `render`, with what the template sees of thinking given by name. Raises: TemplateError."""
        system, joined = collate(messages)
        budget = Budget(sum(map(_n_chars, messages)) + n_chars(tools), len(messages))
        if "messages" not in self.variables:
            return self._render_turns(joined, thinking, budget, today)
        data = {
            "System": system,
            "Messages": [MessageValue(message, message.content) for message in joined],
            "Tools": TextList(map(ToolValue, tools)),
            "Response": "",
            **thinking,
        }
        return execute(self._template, data, builtins(today), budget)

    def render_infill(self, prompt: str, suffix: str, think: Think | None = None) -> str:
        """The prompt for text between `prompt` and `suffix`. Raises: TemplateError."""
        data = {"Prompt": prompt, "Suffix": suffix, "Response": "", **thinking_values(think)}
        return execute(self._template, data, builtins(), Budget(len(prompt) + len(suffix)))

    def _render_turns(
        self, messages: Sequence[Message], thinking: Mapping[str, Value], budget: Budget, today: Callable[[], date]
    ) -> str:
        """The template once for each turn; the last time it ends where the reply begins."""
        written: list[str] = []
        turn = _Turn()
        for message in messages:
            if turn.is_closed_by(message.role):
                written.append(execute(self._template, {**turn.data, **thinking}, builtins(today), budget))
                turn = _Turn()
            turn.take(message)
        written.append(execute(self._opening, {**turn.data, **thinking}, builtins(today), budget))
        return "".join(written)


@lru_cache(maxsize=64)
def go_template(text: str) -> GoTemplate:
    """The template, parsed once. Raises: TemplateError."""
    return GoTemplate(text)


def _n_chars(message: Message) -> int:
    arguments = sum(n_chars(call.arguments) for call in message.tool_calls)
    return len(message.content) + len(message.thinking) + arguments + 2 * sum(map(len, message.images))


def thinking_values(think: Think | None) -> dict[str, Value]:
    """What a template sees of thinking (prompting.md 1.3)."""
    enabled, text = (think.enabled, think.text) if think else (False, "")
    return {"Think": enabled, "ThinkLevel": text, "IsThinkSet": think is not None}


class _Turn:
    """System text, prompt and response of one turn of a template that knows no messages."""

    def __init__(self) -> None:
        self.data: dict[str, Value] = {"System": "", "Prompt": "", "Response": ""}

    def is_closed_by(self, role: str) -> bool:
        """Whether a message of this role belongs to the next turn."""
        if role == "system":
            return bool(self.data["Prompt"] or self.data["Response"])
        return role == "user" and bool(self.data["Response"])

    def take(self, message: Message) -> None:
        """Other roles have no place."""
        name = {"system": "System", "user": "Prompt", "assistant": "Response"}.get(message.role)
        if name:
            self.data[name] = message.content


# ---- cutting a template where the reply begins ---------------------------------------------------------------------


def _appended(template: Template, nodes: tuple[Node, ...]) -> Template:
    return replace(template, root=Block(0, (*template.root.nodes, *nodes)))


def _until_response(root: Block) -> Block:
    """The template up to its first `.Response`; what is defined in it is not kept.

    # Compat: prompting 1.8: conditions are not searched; where `.Response` stands before an `else`, the original
    # crashes, and here the `else` stays.
    """
    return _Cutter().cut_block(root)


class _Cutter:
    def __init__(self) -> None:
        self._found = False

    def cut_block(self, block: Block) -> Block:
        kept: list[Node] = []
        for node in block.nodes:
            if self._found:
                break
            cut = self._cut_node(node)
            if cut is not None:
                kept.append(cut)
        return replace(block, nodes=tuple(kept))

    def _cut_node(self, node: Node) -> Node | None:
        match node:
            case If() | Range() | With():
                then = self.cut_block(node.then)
                otherwise = node.otherwise
                if otherwise is not None and not self._found:
                    otherwise = self.cut_block(otherwise)
                return replace(node, then=then, otherwise=otherwise)
            case Action(pipe=pipe):
                cut = self._cut_pipe(pipe)
                return replace(node, pipe=cut) if cut else None
        return node

    def _cut_pipe(self, pipe: Pipe) -> Pipe | None:
        """A pipeline keeps the arguments up to `.Response`; a stage without any takes the whole pipeline with it."""
        commands: list[Command] = []
        for command in pipe.commands:
            kept: list[Operand] = []
            for operand in command.arguments:
                if self._found:
                    break
                cut = self._cut_pipe(operand) if isinstance(operand, Pipe) else operand
                self._found = self._found or (isinstance(operand, Field) and "Response" in operand.names)
                if cut is not None:
                    kept.append(cut)
            if not kept:
                return None
            commands.append(replace(command, arguments=tuple(kept)))
        return replace(pipe, commands=tuple(commands))
