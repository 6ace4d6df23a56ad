"""What the parts of the interactive chat share."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.cli.client import Client
from server.cli.conversation import Conversation
from server.cli.repl.history import LineHistory
from server.cli.repl.interrupts import Interrupts
from server.cli.terminal import Output


@dataclass(slots=True)
class Session:
    """The conversation, and what it is held with."""

    client: Client
    conversation: Conversation
    history: LineHistory
    out: Output
    interrupts: Interrupts = field(default_factory=Interrupts)

    def say(self, text: str) -> None:
        """A line on standard output."""
        self.out.write(f"{text}\n")
