"""Renders a template. `_walk…` writes and says whether a loop must end; `_eval…` gives a value and writes nothing.

Source: Go, text/template/exec.go; the texts of errors are those of Go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, NoReturn, assert_never

from models.templates.errors import TemplateError, TemplateLimitExceeded
from models.templates.go.errors import CallError
from models.templates.go.functions import SHORT_CIRCUIT, Builtin
from models.templates.go.nodes import (
    Action,
    Block,
    Break,
    Chain,
    Command,
    Constant,
    Continue,
    Dot,
    Field,
    Function,
    If,
    Invoke,
    Nil,
    Node,
    Operand,
    Pipe,
    Range,
    Template,
    Text,
    Variable,
    With,
)
from models.templates.go.printing import text_of
from models.templates.go.values import Struct, Value, is_true, type_name
from models.templates.limits import CHARS_PER_LIST_ITEM, Budget
from registry.gojson import quote


class _Absent(Enum):
    """What a command gets from before it when it is the first of its pipeline."""

    ABSENT = auto()


_ABSENT = _Absent.ABSENT
_Jump = Break | Continue | None


def execute(template: Template, data: Value, functions: Mapping[str, Builtin], budget: Budget) -> str:
    """The text of a template for this data. Raises: TemplateError, in Go's words."""
    interpreter = _Interpreter(template, data, functions, budget)
    try:
        interpreter.walk(template.root, data)
    except RecursionError:
        raise TemplateLimitExceeded("template recursion is too deep") from None
    return "".join(interpreter.written)


class _Interpreter:
    def __init__(self, template: Template, data: Value, functions: Mapping[str, Builtin], budget: Budget) -> None:
        self.written: list[str] = []
        self._template = template
        self._functions = functions
        self._budget = budget
        self._variables: list[tuple[str, Value]] = [("$", data)]
        self._name = ""

    # ---- nodes -----------------------------------------------------------------------------------------------------

    def walk(self, block: Block, dot: Value) -> _Jump:
        for node in block.nodes:
            jump = self._walk_node(node, dot)
            if jump is not None:
                return jump
        return None

    def _walk_node(self, node: Node, dot: Value) -> _Jump:
        self._budget.step()
        match node:
            case Text(text=text):
                self._write(text)
            case Action(pipe=pipe):
                value = self._eval_pipe(pipe, dot)
                if not pipe.declared:
                    self._write("<no value>" if value is None else self._printed(value))
            case If() | With():
                return self._walk_branch(node, dot)
            case Range():
                self._walk_range(node, dot)
            case Break() | Continue():
                return node
            case Invoke():
                self._walk_invoke(node, dot)
            case _:
                assert_never(node)
        return None

    def _write(self, text: str) -> None:
        self._budget.charge(len(text))
        self.written.append(text)

    def _printed(self, value: Value) -> str:
        return value if isinstance(value, str) else text_of(value)

    def _walk_branch(self, node: If | With, dot: Value) -> _Jump:
        mark = len(self._variables)
        value = self._eval_pipe(node.pipe, dot)
        jump = None
        if is_true(value):
            jump = self.walk(node.then, value if isinstance(node, With) else dot)
        elif node.otherwise is not None:
            jump = self.walk(node.otherwise, dot)
        del self._variables[mark:]
        return jump

    def _walk_range(self, node: Range, dot: Value) -> None:
        mark = len(self._variables)
        value = self._eval_pipe(node.pipe, dot)
        inner = len(self._variables)
        is_empty = True
        for key, element in self._items(node, value):
            is_empty = False
            self._budget.step()
            self._bind(node.pipe, inner, key, element)
            jump = self.walk(node.then, element)
            del self._variables[inner:]
            if isinstance(jump, Break):
                break
        if is_empty and node.otherwise is not None:
            self.walk(node.otherwise, dot)
        del self._variables[mark:]

    def _items(self, node: Range, value: Value) -> Iterable[tuple[Value, Value]]:
        match value:
            case None:
                return ()
            case list():
                return enumerate(value)
            case dict():
                return [(key, value[key]) for key in sorted(value)]
            case bool():
                pass
            case int():
                return zip(range(value), range(value), strict=True)
        self._fail(node.pipe, f"range can't iterate over {text_of(value)}")

    def _bind(self, pipe: Pipe, inner: int, key: Value, element: Value) -> None:
        """Give the variables of a range their values: the element, or key and element; they are the last declared."""
        values = (element,) if len(pipe.declared) == 1 else (key, element)
        for place, (name, value) in enumerate(zip(pipe.declared, values, strict=False), inner - len(pipe.declared)):
            if pipe.assigns:
                self._assign(pipe, name, value)
            else:
                self._variables[place] = (name, value)

    def _walk_invoke(self, node: Invoke, dot: Value) -> None:
        block = self._template.defined.get(node.name)
        if block is None:
            self._fail(node, f"template {quote(node.name)} not defined")
        value = self._eval_pipe(node.pipe, dot) if node.pipe else None
        outer = self._variables, self._name
        self._variables, self._name = [("$", value)], node.name
        self.walk(block, value)
        self._variables, self._name = outer

    # ---- pipelines -------------------------------------------------------------------------------------------------

    def _eval_pipe(self, pipe: Pipe, dot: Value) -> Value:
        value: Value = _ABSENT
        for command in pipe.commands:
            value = self._eval_command(command, dot, value)
        for name in pipe.declared:
            if pipe.assigns:
                self._assign(pipe, name, value)
            else:
                self._variables.append((name, value))
        return value

    def _assign(self, pipe: Pipe, name: str, value: Value) -> None:
        for i in range(len(self._variables) - 1, -1, -1):
            if self._variables[i][0] == name:
                self._variables[i] = (name, value)
                return
        self._fail(pipe, f"undefined variable: {name}")

    def _variable(self, node: Variable) -> Value:
        for name, value in reversed(self._variables):
            if name == node.name:
                return value
        self._fail(node, f"undefined variable: {node.name}")

    def _eval_command(self, command: Command, dot: Value, final: Value) -> Value:
        self._budget.step()
        first, *rest = command.arguments
        match first:
            case Field(names=names):
                return self._eval_members(first, names, dot, dot, rest, final)
            case Variable(names=names) if names:
                return self._eval_members(first, names, self._variable(first), dot, rest, final)
            case Chain(operand=operand, names=names):
                return self._eval_members(first, names, self._eval_operand(operand, dot), dot, rest, final)
            case Function(name=name):
                return self._eval_call(first, name, command, dot, rest, final)
        if rest or final is not _ABSENT:
            self._fail(first, f"can't give argument to non-function {first}")
        if isinstance(first, Nil):
            self._fail(first, "nil is not a command")
        return self._eval_operand(first, dot)

    def _eval_operand(self, node: Operand, dot: Value) -> Value:
        """The value of an argument."""
        match node:
            case Dot():
                return dot
            case Constant(value=value):
                return value
            case Field(names=names):
                return self._eval_members(node, names, dot, dot, (), _ABSENT)
            case Variable(names=names):
                return self._eval_members(node, names, self._variable(node), dot, (), _ABSENT)
            case Pipe():
                return self._eval_pipe(node, dot)
            case Chain(operand=operand, names=names):
                return self._eval_members(node, names, self._eval_operand(operand, dot), dot, (), _ABSENT)
            case Function(name=name):
                return self._eval_call(node, name, node, dot, (), _ABSENT)
            case Nil():
                return None
            case _:
                assert_never(node)

    # ---- members ---------------------------------------------------------------------------------------------------

    def _eval_members(
        self,
        node: Operand,
        names: tuple[str, ...],
        value: Value,
        dot: Value,
        arguments: Iterable[Operand],
        final: Value,
    ) -> Value:
        """`value.A.B`; arguments could only be for a method, and no method takes any."""
        given = [self._eval_operand(argument, dot) for argument in arguments]
        has_arguments = bool(given) or final is not _ABSENT
        for i, name in enumerate(names):
            value = self._member(node, value, name, has_arguments=has_arguments and i == len(names) - 1)
        return value

    def _member(self, node: Operand, value: Value, name: str, *, has_arguments: bool) -> Value:
        match value:
            case None:
                self._fail(node, f"nil pointer evaluating interface {{}}.{name}")
            case Struct():
                read = value.methods.get(name) or value.fields.get(name)
                if read is None:
                    self._fail(node, f"can't evaluate field {name} in type {type_name(value)}")
                if has_arguments:
                    self._fail(node, f"{name} has arguments but cannot be invoked as function")
                return read(value)
            case dict():
                if has_arguments:
                    self._fail(node, f"{name} is not a method but has arguments")
                return value.get(name)
        self._fail(node, f"can't evaluate field {name} in type {type_name(value)}")

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _eval_call(
        self, node: Function, name: str, shown: Any, dot: Value, arguments: Iterable[Operand], final: Value
    ) -> Value:
        function = self._functions[name]
        operands = list(arguments)
        n_given = len(operands) + (final is not _ABSENT)
        self._check_count(node, function, n_given)
        if name in SHORT_CIRCUIT:
            return self._eval_until(operands, dot, final, stops_at=name == "or")
        values = [self._eval_operand(operand, dot) for operand in operands]
        if final is not _ABSENT:
            values.append(final)
        self._check_texts(node, function, values)
        try:
            result = function.call(*values)
        except CallError as error:
            self._fail(shown, f"error calling {name}: {error}")
        self._charge(result)
        return result

    def _check_count(self, node: Function, function: Builtin, n_given: int) -> None:
        if n_given < function.n_least:
            least = "" if function.n_most == function.n_least else "at least "
            self._fail(node, f"wrong number of args for {node.name}: want {least}{function.n_least} got {n_given}")
        if function.n_most is not None and n_given > function.n_most:
            self._fail(node, f"wrong number of args for {node.name}: want {function.n_most} got {n_given}")

    def _check_texts(self, node: Function, function: Builtin, values: list[Value]) -> None:
        for value in values if function.only_text else values[: function.n_text]:
            if not isinstance(value, str):
                got = "nil" if value is None else type_name(value)
                self._fail(node, f"wrong type for value; expected string; got {got}")

    def _eval_until(self, operands: list[Operand], dot: Value, final: Value, *, stops_at: bool) -> Value:
        """`and`, `or`: the first value that decides, or the last one."""
        value: Value = None
        for operand in operands:
            value = self._eval_operand(operand, dot)
            if is_true(value) is stops_at:
                return value
        return value if final is _ABSENT else final

    def _charge(self, result: Value) -> None:
        if isinstance(result, str):
            self._budget.charge(len(result))
        elif isinstance(result, list):
            self._budget.charge(len(result) * CHARS_PER_LIST_ITEM)

    def _fail(self, node: Any, message: str) -> NoReturn:
        line, column = self._template.place(node.at)
        raise TemplateError(
            f"template: {self._name}:{line}:{column}: executing {quote(self._name)} at <{node}>: {message}"
        )
