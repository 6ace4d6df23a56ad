"""What of a prompt was cached and what of a reply was thought: told under /v1 to clients that read it.

Ollama tells neither, and programs that compare its answers find three numbers. So the details are told to those who ask
(`"usage": {"include": true}`, as at OpenRouter), to the libraries of OpenAI and Anthropic, which have fields for them
(they give themselves away by their headers), and to anybody when much was cached. Anthropic's API tells what was cached
only where the request marks something to be cached, and then does not count it as input: so does this one.
"""

from __future__ import annotations

from models.parsers.events import Usage
from server.routes.extras import ExtraTextFields
from server.transport.asgi import Scope, header

MUCH = 1024
"""Cached tokens from which on OpenAI tells them."""


def wants_details(scope: Scope, body: object) -> bool:
    """Whether the client reads more than Ollama tells."""
    return bool(header(scope, b"x-stainless-lang")) or asks_for_details(body)


def asks_for_details(body: object) -> bool:
    """Whether the body says so."""
    return isinstance(body, ExtraTextFields) and body.usage is not None and body.usage.include


def has_details(usage: Usage, *, wanted: bool) -> bool:
    return wanted or usage.n_cached >= MUCH
