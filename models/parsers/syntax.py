"""How a model writes its thoughts and its calls, as its chat template shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """The tags around thoughts, with the whitespace that the template puts inside and after them.

    An empty `start`: the reply begins with a thought.
    """

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class JsonCalls:
    """Calls as JSON objects between tags.

    `start` keeps its whitespace at the end, `end` is trimmed; both may be empty. `repeats`: each call has its own tags.
    `wrapper`: the member that holds name and arguments, if they are not at the top. `name_is_key`: `{"f": {…}}`.
    """

    start: str
    end: str
    repeats: bool = False
    in_array: bool = False
    name_key: str = "name"
    arguments_key: str = "arguments"
    id_key: str = ""
    wrapper: str = ""
    name_is_key: bool = False
