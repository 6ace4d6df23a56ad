"""What goes wrong while a reply is parsed.

ModelError
└── ParserError     the model's output cannot be understood; the reply ends
"""

from __future__ import annotations

from models.errors import ModelError


class ParserError(ModelError):
    """The text is what clients see (prompting.md 6.21)."""
