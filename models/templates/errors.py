"""What goes wrong between a chat and its prompt.

ModelError
├── BadRequest
│   └── InvalidChat               the order of the messages is not one that the native path takes
└── TemplateError                 a template is malformed, refuses the messages, or exceeds its limits
    ├── TemplateLimitExceeded     too much time, text or depth
    └── UnsupportedChat           the native path cannot show what a message holds
"""

from __future__ import annotations

import json

from models.errors import BadRequest, ModelError


class TemplateError(ModelError):
    """A template cannot be parsed or rendered; the text is the engine's, without the name of the model."""


class TemplateLimitExceeded(TemplateError):
    """Rendering was stopped: endless, too deep, or its text too long."""


class InvalidChat(BadRequest):
    """Messages in an order that the native path does not take; the text is the engine's JSON body."""

    def __init__(self, message: str) -> None:
        super().__init__(_engine_body(400, message, "invalid_request_error"))


class UnsupportedChat(TemplateError):
    """What this model's native path cannot show; the text is the engine's JSON body."""

    def __init__(self, message: str) -> None:
        super().__init__(_engine_body(500, message, "server_error"))


def _engine_body(code: int, message: str, kind: str) -> str:
    # Compat: http-api 4.5: what llama-server answers travels as the error's text.
    return json.dumps({"error": {"code": code, "message": message, "type": kind}}, separators=(",", ":"))
