"""How a decode ended."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """What is left to say when the context is still sound."""

    DONE = "done"
    NO_ROOM = "no room"
    """The memory has no cells for this batch; nothing changed."""
    REFUSED = "refused"
    """llama.cpp calls the batch invalid; nothing changed."""
