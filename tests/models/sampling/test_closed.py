"""Which objects of a schema are closed."""

from __future__ import annotations

from typing import Any

import pytest

from models.sampling.closed import close_objects

OPEN = {"properties": {"a": {"type": "string"}}}
CLOSED = OPEN | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (OPEN, CLOSED),
        ({"type": "object"}, {"type": "object"}),
        (OPEN | {"additionalProperties": True}, OPEN | {"additionalProperties": True}),
        (OPEN | {"additionalProperties": OPEN}, OPEN | {"additionalProperties": CLOSED}),
        ({"items": OPEN}, {"items": CLOSED}),
        ({"prefixItems": [OPEN, True]}, {"prefixItems": [CLOSED, True]}),
        ({"anyOf": [OPEN, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"$defs": {"A": OPEN}, "$ref": "#/$defs/A"}, {"$defs": {"A": CLOSED}, "$ref": "#/$defs/A"}),
        ({"properties": {"b": OPEN}}, {"properties": {"b": CLOSED}, "additionalProperties": False}),
        ({"allOf": [OPEN, OPEN]}, {"allOf": [OPEN, OPEN]}),
        ({"allOf": [{"properties": {"b": OPEN}}]}, {"allOf": [{"properties": {"b": CLOSED}}]}),
        (
            {"$defs": {"A": OPEN, "B": OPEN}, "allOf": [{"$ref": "#/$defs/A"}]},
            {"$defs": {"A": OPEN, "B": CLOSED}, "allOf": [{"$ref": "#/$defs/A"}]},
        ),
        ({"properties": {"properties": OPEN}}, {"properties": {"properties": CLOSED}, "additionalProperties": False}),
        ({"enum": [OPEN], "const": OPEN, "default": OPEN}, {"enum": [OPEN], "const": OPEN, "default": OPEN}),
        ({"properties": 5}, {"properties": 5}),
        (True, True),
    ],
)
def test_objects_that_name_properties_have_no_others_unless_they_say(schema: Any, closed: Any) -> None:
    assert close_objects(schema) == closed
