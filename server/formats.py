"""The `format` field: none, any JSON, or a JSON Schema."""

from __future__ import annotations

from models.errors import ModelError
from models.runner.messages import Constraint
from registry.gojson import quote

JSON = Constraint("json", "")


class InvalidFormat(ModelError):
    """A `format` that is neither "json" nor an object."""

    def __init__(self, raw: str) -> None:
        super().__init__(f'invalid format: {quote(raw)}; expected "json" or a valid JSON Schema object')


def parse_format(raw: bytes) -> Constraint | None:
    """What the raw JSON of the field stands for (http-api 4.6). Raises: InvalidFormat."""
    text = raw.strip()
    if text in (b"", b"null", b'""'):
        return None
    if text == b'"json"':
        return JSON
    if text.startswith(b"{"):
        return Constraint("json_schema", text.decode("utf-8", "replace"))
    raise InvalidFormat(text.decode("utf-8", "replace"))
