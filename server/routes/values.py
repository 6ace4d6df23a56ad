"""Types of fields that several dialects have, and that decode themselves: keep-alive, thinking, options.

# Compat: http-api 2.2; Ollama api/types.go 0.33.
"""

from __future__ import annotations

from models.templates.chat import Think
from registry.gojson import quote
from server.durations import MAX_DURATION, SECOND, InvalidDuration, parse_duration
from server.json_decoding.containers import Custom, Map, Pointer
from server.json_decoding.errors import Refused, TypeMismatch
from server.json_decoding.nodes import Node, Number, Object
from server.json_decoding.scalars import ANY, to_float64

THINK_LEVELS = ("high", "medium", "low", "max")
_CHOICES = ", ".join(f'"{level}"' for level in THINK_LEVELS)


def read_keep_alive(node: Node) -> int:
    """Nanoseconds; negative values mean forever. # Compat: http-api 2.2, api.Duration."""
    match node:
        case bool():
            raise Refused("Unsupported type: 'bool'")
        case Number() | int():
            seconds = to_float64(node)
            if seconds is None:
                raise TypeMismatch(f"number {node}", "float64")
            return MAX_DURATION if seconds < 0 else int(min(seconds * SECOND, MAX_DURATION))
        case str():
            try:
                ns = parse_duration(node)
            except InvalidDuration as error:
                raise Refused(str(error)) from error
            return MAX_DURATION if ns < 0 else ns
        case Object():
            raise Refused("Unsupported type: 'map[string]interface {}'")
        case _:
            raise Refused("Unsupported type: '[]interface {}'")


def read_think(node: Node) -> Think:
    """# Compat: http-api 2.2, api.ThinkValue."""
    if isinstance(node, bool):
        return Think(node)
    if type(node) is not str:
        raise Refused(f"think must be a boolean or string ({_CHOICES}, true, or false)")
    if node not in THINK_LEVELS:
        raise Refused(f"invalid think value: {quote(node)} (must be {_CHOICES}, true, or false)")
    return Think(True, node)


KEEP_ALIVE = Pointer(Custom("api.Duration", read_keep_alive))
THINK = Pointer(Custom("api.ThinkValue", read_think))
OPTIONS = Map(ANY)
