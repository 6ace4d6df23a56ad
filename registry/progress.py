"""What a client hears while a model is moved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One line about a transfer; counts are bytes, 0 when they say nothing."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
