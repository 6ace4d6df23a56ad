"""The Jinja environment of chat templates: jinja2's sandbox, with a budget.

jinja2 keeps a template away from Python. Here its syntax tree is rewritten so that loops, comparisons, assignments and
concatenations pass through the filters of `guards.py`; calls, operators, subscripts and outputs report through
jinja2's own hooks. No operation can do much work or make much text unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Template, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import ChainableUndefined, Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.templates import guards
from models.templates.errors import TemplateError, TemplateLimitExceeded
from models.templates.guards import bounded, charge_result, text_of
from models.templates.limits import current_budget

_REWRITES: dict[str, Callable[..., Any]] = {
    "_counted": guards.counted,
    "_concatenated": guards.concatenated,
    "_stepped": guards.stepped,
    "_bounded": bounded,
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": guards.add,
    "*": guards.multiply,
    "**": guards.power,
    "%": guards.remainder,
}
MAX_NESTING = 100
"""Depth of the syntax tree; jinja2's compiler is cubic in it."""
_DICT_ATTRIBUTES = frozenset(dir(dict))


class GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}`: marks text for training, prints it here."""

    tags = {"generation"}  # noqa: RUF012 (the base class declares it as a set)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The body as it stands."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and runs templates; every use needs a `current_budget`."""

    intercepted_binops = frozenset(_OPERATORS)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, GenerationTag],
            finalize=text_of,
            cache_size=0,
            undefined=ChainableUndefined,  # Compat: llama.cpp: a member of what is missing is missing
        )
        self.filters.clear()
        self.filters.update(guards.guarded_filters() | _REWRITES)
        self.tests.clear()
        self.tests.update(guards.guarded_tests())
        self.globals = {"range": _range, "dict": dict, "namespace": self.globals["namespace"]}

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join what a macro or block printed; jinja2 looks this up by name."""
        pieces = list(parts)
        current_budget.get().charge(sum(map(len, pieces)))
        return "".join(pieces)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An intercepted operator."""
        current_budget.get().step()
        return _OPERATORS[operator](left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Every call of a template; named like the base class's, so that keyword arguments cannot collide."""
        current_budget.get().step()
        if isinstance(__obj, BuiltinMethodType):
            return guards.call_method(__obj, args, _spoken(kwargs))
        if hasattr(__obj, "__wrapped__") and __obj.__name__ in ("format", "format_map"):
            return guards.call_format(__obj, args, _spoken(kwargs))
        if isinstance(__obj, MethodType) and isinstance(__obj.__self__, LoopContext):
            args = tuple(map(bounded, args))
        return super().call(__context, __obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`; the way through Python's attributes is slow, and messages are plain dicts."""
        if type(obj) is dict and attribute in obj and attribute not in _DICT_ATTRIBUTES:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`."""
        if isinstance(argument, slice):
            current_budget.get().step()
            return charge_result(super().getitem(obj, argument))
        if isinstance(argument, (str, int, Undefined)):
            return super().getitem(obj, argument)
        return self.undefined(obj=obj, name=argument)


def _spoken(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the template wrote, without those that jinja2's compiler adds for its own functions."""
    return {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > guards.MAX_REPEAT:
        raise TemplateLimitExceeded("template asks for too many numbers")
    return numbers


_environment = ChatEnvironment()


def compile_source(source: str) -> Template:
    """The compiled template. Raises whatever jinja2 and Python raise for a text that is none."""
    return _environment.from_string(rewrite(_environment.parse(source)))


# ---- the syntax tree -----------------------------------------------------------------------------------------------


def rewrite(tree: nodes.Template) -> nodes.Template:
    """Send loops, comparisons, concatenations, assignments and keys through the guards; changes the tree."""
    _replace_below(tree)
    for loop in tree.find_all(nodes.For):
        loop.iter = _through("_counted", _expression(loop.iter))
    for compare in tree.find_all(nodes.Compare):
        compare.expr = _guarded(compare.expr)
        for operand in compare.ops:
            operand.expr = _guarded(operand.expr)
    for assign in tree.find_all(nodes.Assign):
        assign.node = _through("_stepped", _expression(assign.node))
    for literal in tree.find_all(nodes.Dict):
        for pair in literal.items:
            pair.key = _guarded(pair.key)
    return tree.set_environment(tree.environment)  # type: ignore[arg-type, return-value]


def _replace_below(node: nodes.Node, depth: int = 0) -> None:
    if depth > MAX_NESTING:
        raise TemplateError("chat template is nested too deeply")
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            setattr(node, name, _replaced(value, depth))
        elif isinstance(value, list):
            setattr(node, name, [_replaced(item, depth) if isinstance(item, nodes.Node) else item for item in value])


def _replaced(node: Any, depth: int) -> nodes.Node:
    _replace_below(node, depth + 1)
    if isinstance(node, nodes.Concat):
        return _through("_concatenated", nodes.List(node.nodes, lineno=node.lineno))
    if isinstance(node, nodes.Tuple) and node.ctx == "load" and not _is_constant(node):
        # Hashing a tuple goes as deep as the tuple does; a list cannot be hashed at all.
        return nodes.List(node.items, lineno=node.lineno)
    return node  # type: ignore[no-any-return]


def _expression(node: nodes.Node) -> nodes.Expr:
    assert isinstance(node, nodes.Expr)
    return node


def _guarded(node: nodes.Expr) -> nodes.Expr:
    return node if _is_constant(node) else _through("_bounded", node)


def _is_constant(node: nodes.Node) -> bool:
    if isinstance(node, (nodes.List, nodes.Tuple)):
        return all(map(_is_constant, node.items))
    return isinstance(node, nodes.Const)


def _through(name: str, node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
