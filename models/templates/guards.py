"""Jinja's operators, filters and methods with their work counted beforehand.

Everything here runs under `current_budget`. What makes text charges its length, before it is made where a small
argument can ask for much (`center`, `replace`, `*`), after it is made where the result cannot outgrow the input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import islice
from typing import Any, TypeVar, cast

from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Undefined
from jinja2.tests import TESTS
from jinja2.utils import pass_environment

from models.templates.errors import TemplateLimitExceeded
from models.templates.limits import CHARS_PER_LIST_ITEM, current_budget

MAX_INT_BITS = 10_000
MAX_NODES = 50_000
MAX_ITEMS = 20_000
"""Of a list that is looked through as a whole: sorted, grouped, printed as JSON."""
MAX_DEPTH = 100
MAX_INDENT = 16
MAX_REPEAT = 100_000
"""The largest width, count or precision that a template may ask for."""

_WIDE_FORMAT = re.compile(r"\d{5,}|%[^a-zA-Z%]*\*|:[^}]*\{")
_T = TypeVar("_T")


# ---- values --------------------------------------------------------------------------------------------------------


def bounded(value: _T) -> _T:
    """The value, if walking through all of it is cheap: lists that share elements can be exponentially long."""
    current_budget.get().step()
    if isinstance(value, (list, tuple, dict)):
        _extent(value)
    return value


def _extent(value: Any) -> int:
    """About how many characters the value prints as. Raises: TemplateLimitExceeded when it has too many parts."""
    level: list[Any] = [value]
    n_nodes = n_chars = 0
    for _ in range(MAX_DEPTH):
        n_chars += sum(len(node) for node in level if isinstance(node, str))
        level = [child for node in level for child in islice(_children(node), MAX_NODES)]
        n_nodes += len(level)
        if not level:
            return n_chars + n_nodes
        if n_nodes > MAX_NODES:
            break
    raise TemplateLimitExceeded("template value is too large")


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield value
    elif isinstance(node, (list, tuple)):
        yield from node


def text_of(value: Any) -> str:
    """What `{{ value }}` prints, paid for."""
    budget = current_budget.get()
    budget.step()
    if type(value) is str:
        budget.charge(len(value))
        return value
    budget.charge(_extent(value))
    return str(value)


def counted(iterable: Iterable[Any]) -> Iterator[Any]:
    """The same items; each is a step."""
    budget = current_budget.get()
    for item in iterable:
        budget.step()
        yield item


def concatenated(parts: list[Any]) -> str:
    """`a ~ b ~ c`."""
    return "".join([text_of(part) for part in parts])


def stepped(value: _T) -> _T:
    """The same value, one step later."""
    current_budget.get().step()
    return value


def charge_result(value: _T) -> _T:
    """Account for a value that was just made."""
    if isinstance(value, str):
        current_budget.get().charge(len(value))
    elif isinstance(value, (list, tuple, dict)):
        current_budget.get().charge(len(value) * CHARS_PER_LIST_ITEM)
    return value


def _check_repeat(numbers: Iterable[Any]) -> None:
    if any(isinstance(n, int) and not -MAX_REPEAT <= n <= MAX_REPEAT for n in numbers):
        raise TemplateLimitExceeded("template asks for too much text")


def _charge_format(text: str, mark: str, arguments: Iterable[Any]) -> None:
    if _WIDE_FORMAT.search(text):
        raise TemplateLimitExceeded("template asks for too much text")
    longest = max(map(_extent, arguments), default=0)
    current_budget.get().charge(len(text) + text.count(mark) * longest)


# ---- operators -----------------------------------------------------------------------------------------------------


def add(left: Any, right: Any) -> Any:
    """`left + right`; what is missing adds nothing to a text, a number its digits.

    # Compat: llama.cpp, common/jinja/runtime.cpp, binary_expression.
    """
    if isinstance(left, str) is not isinstance(right, str):
        left, right = _as_text(left), _as_text(right)
    return charge_result(left + right)


def _as_text(value: Any) -> Any:
    if value is None or isinstance(value, Undefined):
        return ""
    return str(value) if isinstance(value, (int, float)) else value


def multiply(left: Any, right: Any) -> Any:
    """`left * right`: numbers of bounded size, or a repeated sequence."""
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, (str, list, tuple)) and isinstance(times, int):
            size = 1 if isinstance(sequence, str) else CHARS_PER_LIST_ITEM
            current_budget.get().charge(len(sequence) * size * max(times, 0))
    return left * right


def power(left: Any, right: Any) -> Any:
    """`left ** right`."""
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * abs(right))
    return left**right


def _check_bits(n_bits: int) -> None:
    if n_bits > MAX_INT_BITS:
        raise TemplateLimitExceeded("template number is too large")


def remainder(left: Any, right: Any) -> Any:
    """`left % right`: of numbers, or text with its arguments filled in."""
    if not isinstance(left, str):
        return left % right
    arguments = tuple(right) if isinstance(right, list) else right
    _charge_format(left, "%", (arguments,))
    return charge_result(left % arguments)


# ---- methods -------------------------------------------------------------------------------------------------------

_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(name for name in dir(str) if not name.startswith("_")) - {"encode", "translate", "maketrans"},
    dict: frozenset({"get", "items", "keys", "values", "copy"}),
    list: frozenset({"index", "count", "copy"}),
    tuple: frozenset({"index", "count"}),
}


def call_method(method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method of a built-in type. Raises: SecurityError for one that templates have no use for."""
    owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    allowed = next((names for kind, names in _METHODS.items() if isinstance(owner, kind)), frozenset[str]())
    if name not in allowed:
        raise SecurityError(f"{name!r} may not be called by a template")
    for argument in args:
        bounded(argument)
    if isinstance(owner, str):
        args = _charge_text_method(owner, name, args)
    return charge_result(method(*args, **kwargs))


def _charge_text_method(owner: str, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    match name:
        case "center" | "ljust" | "rjust" | "zfill":
            _check_repeat(args)
        case "expandtabs":
            _check_repeat(args)
            current_budget.get().charge(owner.count("\t") * (args[0] if args else 8))
        case "replace" if len(args) >= 2:
            current_budget.get().charge(owner.count(args[0]) * len(args[1]))
        case "join" if args:
            items = list(counted(args[0]))
            current_budget.get().charge(sum(len(item) for item in items) + len(owner) * len(items))
            return (items,)
        case "startswith" | "endswith" if args and isinstance(args[0], list):
            return (tuple(args[0]), *args[1:])
    return args


def call_format(method: Callable[..., str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """`text.format(…)`, where `method` is already jinja2's safe replacement."""
    text = getattr(getattr(method, "__wrapped__", None), "__self__", "")
    _charge_format(text, "{", (*args, *kwargs.values()))
    return charge_result(method(*args, **kwargs))


# ---- filters and tests ---------------------------------------------------------------------------------------------


def _reporting(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # keeps jinja2's mark of which functions want the environment as their first argument
    def run(*args: Any, **kwargs: Any) -> Any:
        current_budget.get().step()
        return charge_result(function(*args, **kwargs))

    return run


def _repeating(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        _check_repeat((*args[1:], *kwargs.values()))
        return function(*args, **kwargs)

    return run


def _walking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return function(*[bounded(_listed(argument)) for argument in args], **kwargs)

    return run


def _listed(value: Any) -> Any:
    value = list(counted(value)) if isinstance(value, (Iterator, range)) else value
    if isinstance(value, (list, tuple)) and len(value) > MAX_ITEMS:
        raise TemplateLimitExceeded("template value is too large")
    return value


def _indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = text_of(value)
    margin = width if isinstance(width, str) else " " * width
    current_budget.get().charge(len(margin) * (text.count("\n") + 1))
    return str(FILTERS["indent"](text, margin, first, blank))


def _title(value: Any) -> str:
    text = text_of(value)
    current_budget.get().charge(len(text) * CHARS_PER_LIST_ITEM)  # it is cut into words
    return str(FILTERS["title"](text))


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, before, after = text_of(value), text_of(old), text_of(new)
    current_budget.get().charge(text.count(before) * len(after))
    return text.replace(before, after, -1 if count is None else count)


@pass_environment
def _join(environment: Any, value: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
    items = list(counted(value))
    if attribute is not None:
        items = list(map(make_attrgetter(environment, attribute), items))
    separator = text_of(d)
    current_budget.get().charge(len(separator) * len(items))
    return separator.join([text_of(item) for item in items])


@pass_environment
def _sum(environment: Any, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    of_item = make_attrgetter(environment, attribute) if attribute is not None else stepped
    total = start
    for item in iterable:
        total = add(total, of_item(item))
    return total


def _format(value: Any, *args: Any, **kwargs: Any) -> Any:
    return remainder(text_of(value), kwargs or args)


def _to_json(
    value: Any,
    indent: int | None = None,
    ensure_ascii: bool = False,
    separators: list[str] | tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers gives it to templates: no HTML escapes, keys in their order."""
    if indent is not None and indent > MAX_INDENT:
        raise TemplateLimitExceeded("template asks for too much text")
    listed = _listed(value)
    current_budget.get().charge(_extent(listed))
    return json.dumps(
        listed,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=(separators[0], separators[1]) if separators else None,
        sort_keys=sort_keys,
        default=_missing_is_null,
    )


def _missing_is_null(value: Any) -> None:
    if not isinstance(value, Undefined):
        raise TypeError(f"{type(value).__name__} has no JSON form")


_DROPPED = {"pprint", "random", "urlize", "wordwrap", "xmlattr"}
_REPEATING = {"batch", "center", "indent", "round", "slice", "truncate"}
_WALKING = {"dictsort", "groupby", "max", "min", "sort", "unique"}
_REPLACED: dict[str, Callable[..., Any]] = {
    "e": text_of,
    "escape": text_of,  # a prompt is not HTML
    "safe": text_of,
    "format": _format,
    "indent": _indent,
    "join": _join,
    "replace": _replace,
    "string": text_of,
    "sum": _sum,
    "title": _title,
    "tojson": _to_json,
}


def guarded_filters() -> dict[str, Callable[..., Any]]:
    """jinja2's filters as templates may use them."""
    filters = {name: function for name, function in (FILTERS | _REPLACED).items() if name not in _DROPPED}
    for name in _REPEATING:
        filters[name] = _repeating(filters[name])
    for name in _WALKING:
        filters[name] = _walking(filters[name])
    return {name: _reporting(function) for name, function in filters.items()}


def guarded_tests() -> dict[str, Callable[..., Any]]:
    """jinja2's tests; those that look through a whole value are bounded."""
    light = {"defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "string", "mapping"}
    tests = cast("dict[str, Callable[..., Any]]", TESTS)
    return {name: test if name in light else _walking(test) for name, test in tests.items()}
