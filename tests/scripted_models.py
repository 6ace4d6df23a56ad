"""The scripted models in a server, and what the tests say to them through the libraries.

What each model answers stands in tests/conformance/scripts.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ollama

from tools.server_process import ServerProcess

FILES = {"chat": "chatml", "agent": "agent", "bert": "bert"}
"""By the name of the model, the name of its file (the fixture `tiny_model`)."""

GREETING = "Hello there, how can I help you?"
"""What `chat` answers to `hi`."""


def create_models(
    server: ServerProcess, tiny_model: Callable[[str], Path], names: Iterable[str] = FILES.keys()
) -> None:
    """Create these models in the server, from files that are uploaded."""
    with ollama.Client(host=server.url) as client:
        for name in names:
            path = tiny_model(FILES[name])
            digest = client.create_blob(path)
            assert client.create(name, files={path.name: digest}).status == "success"


def said(text: str) -> list[Any]:
    """A conversation that the user begins with the text."""
    return [{"role": "user", "content": text}]


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}

WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
ADD: Any = {"type": "function", "function": {"name": "add", "parameters": NUMBERS}}
"""The tools that `agent` calls, in the form of OpenAI's chat."""
