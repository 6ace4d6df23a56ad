"""JSON Schemas for replies, as chats and responses name them."""

from __future__ import annotations

import re

from server.routes.v1 import Untranslatable

JSON_MODE = b'"json"'
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def named_schema(schema: bytes, name: str, *, strict: bool) -> bytes:
    """The schema, which holds whether `strict` or not; where it is, the name is checked. Raises: Untranslatable."""
    if strict and not _NAME.fullmatch(name):
        raise Untranslatable(f"a strict json_schema needs a name that matches {_NAME.pattern}")
    if strict and not schema:
        raise Untranslatable("a strict json_schema needs a schema")
    return schema
