"""What goes wrong between a chat and its prompt.

ModelError
└── TemplateError                 a template is malformed, refuses the messages, or exceeds its limits
    └── TemplateLimitExceeded     too much time, text or depth
"""

from __future__ import annotations

from models.errors import ModelError


class TemplateError(ModelError):
    """A template cannot be parsed or rendered; the text is the engine's, without the name of the model."""


class TemplateLimitExceeded(TemplateError):
    """Rendering was stopped: endless, too deep, or its text too long."""
