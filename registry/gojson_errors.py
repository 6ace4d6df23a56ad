"""What Go's decoder says of text that is not JSON, so far as clients get to read it."""

from __future__ import annotations

import json

from registry.errors import InvalidManifest
from registry.gojson import quote

_CONTEXTS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair or array element",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
    "Extra data": "after top-level value",
}


def check_syntax(raw: bytes) -> None:
    """Raises: InvalidManifest, worded as Go's encoding/json words it."""
    text = raw.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidManifest(_describe(error)) from error
    except RecursionError as error:
        raise InvalidManifest("exceeded max depth") from error
    except ValueError as error:  # a number too long to be one
        raise InvalidManifest(f"invalid JSON: {error}") from error


def _describe(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    character = error.doc[error.pos]
    shown = "'\\''" if character == "'" else "'\"'" if character == '"' else f"'{quote(character)[1:-1]}'"
    return f"invalid character {shown} {_CONTEXTS.get(error.msg, 'looking for beginning of value')}"
