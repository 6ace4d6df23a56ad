"""Fields of a request that have no effect: told in the log and in a header, or refused where the server is strict.

Ollama ignores them without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from models.options import NAMES
from server.errors import BadField
from server.transport.added_headers import add_header
from server.transport.asgi import Scope

logger = logging.getLogger(__name__)

HEADER = b"x-ignored-params"
MAX_NAMED = 32
MAX_NAME_LENGTH = 64


def unknown_options(options: object) -> list[str]:
    """What of an `options` object no option is called."""
    return [f"options.{name}" for name in options if name not in NAMES] if isinstance(options, dict) else []


def tell_ignored(scope: Scope, names: Sequence[str], *, strict: bool) -> None:
    """Raises: BadField, if the server is strict."""
    if not names:
        return
    shown = [_shown(name) for name in names[:MAX_NAMED]]
    if strict:
        raise BadField(f"unknown field: '{shown[0]}'" if len(shown) == 1 else f"unknown fields: {', '.join(shown)}")
    logger.warning("%s: ignored fields: %s", scope["path"], ", ".join(shown))
    add_header(scope, (HEADER, ", ".join(shown).encode()))


def _shown(name: str) -> str:
    """Fit for a header, whatever the client calls its fields: no list within the list, nothing but printable ASCII."""
    text = "".join(c if c.isascii() and c.isprintable() and c != "," else "?" for c in name[:MAX_NAME_LENGTH])
    return text if len(name) <= MAX_NAME_LENGTH else f"{text}..."
