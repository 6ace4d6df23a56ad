"""What a renderer is given, and what the table says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from models.templates.chat import Message, Think, Tool
from models.templates.limits import walks_values


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat to be written as a prompt.

    `tags_images` False: images appear as the model's own tokens, as outside a server.
    """

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    think: Think | None = None
    tags_images: bool = True
    today: date = field(default_factory=date.today)

    def thinks(self, *, unless_said: bool) -> bool:
        """Whether to think; `unless_said` is the answer for a request that does not say."""
        return unless_said if self.think is None else self.think.enabled


@dataclass(frozen=True, slots=True)
class Renderer:
    """`leading_bos`: the token text a prompt begins with, which the tokenizer may add itself."""

    write: Callable[[Conversation], str]
    leading_bos: str = ""

    @walks_values
    def render(self, conversation: Conversation) -> str:
        """The prompt. Raises: TemplateError for a chat that the format cannot say, BadRequest."""
        return self.write(conversation)
