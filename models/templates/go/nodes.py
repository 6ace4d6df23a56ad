"""The syntax tree of a template. `at` is the offset in the template's text; `str(node)` is Go's text of the node."""

from __future__ import annotations

from dataclasses import dataclass

from registry.gojson import quote


@dataclass(frozen=True, slots=True)
class Dot:
    at: int

    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Nil:
    at: int

    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal of Go's types bool, int, float64 or string; `text` is how it is written."""

    at: int
    value: bool | int | float | str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B`: members of dot."""

    at: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.A`: a variable, its `$` included, and members of it."""

    at: int
    name: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


@dataclass(frozen=True, slots=True)
class Function:
    """The name of a function, where it is used."""

    at: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Chain:
    """`(pipeline).A`: members of a value in parentheses."""

    at: int
    operand: Operand
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.operand})" if isinstance(self.operand, Pipe) else str(self.operand)
        return ".".join((inner, *self.names))


@dataclass(frozen=True, slots=True)
class Command:
    """A function or value with its arguments."""

    at: int
    arguments: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(f"({a})" if isinstance(a, Pipe) else str(a) for a in self.arguments)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each given the value of the one before; declares or assigns variables if any are named."""

    at: int
    declared: tuple[str, ...]
    assigns: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        sign = " = " if self.assigns else " := "
        left = ", ".join(self.declared) + sign if self.declared else ""
        return left + " | ".join(map(str, self.commands))


Operand = Dot | Nil | Constant | Field | Variable | Function | Chain | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """`{{ pipeline }}`."""

    at: int
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class If:
    at: int
    pipe: Pipe
    then: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class With:
    at: int
    pipe: Pipe
    then: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class Range:
    at: int
    pipe: Pipe
    then: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class Break:
    at: int


@dataclass(frozen=True, slots=True)
class Continue:
    at: int


@dataclass(frozen=True, slots=True)
class Invoke:
    """`{{ template "name" pipeline }}`."""

    at: int
    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"


Branch = If | With | Range
Node = Text | Action | If | With | Range | Break | Continue | Invoke


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two tags."""

    at: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: its text, its root, and the templates that it defines."""

    text: str
    root: Block
    defined: dict[str, Block]

    def place(self, at: int) -> tuple[int, int]:
        """Line, from 1, and byte in the line, from 0, of an offset."""
        before = self.text[:at]
        return before.count("\n") + 1, len(before[before.rfind("\n") + 1 :].encode())
