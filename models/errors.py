"""Everything that can go wrong with a model. `str(error)` is the text that a client sees; statuses are `server`'s.

    ModelError
    ├── BadRequest                    the client asked for something that cannot be (400)
    │   ├── MissingCapability         the model cannot do that
    │   ├── PromptTooLong             the prompt does not fit the context, and may not be cut
    │   └── InputTooLong              the same for embeddings
    ├── OptionTypeError               an option of the wrong type, in the request or stored with the model
    ├── ModelNotFound                 no such model, or its weights are gone
    ├── LoadError                     the model could not be loaded
    │   └── OutOfMemory
    ├── RunnerError                   the engine failed while it computed
    │   ├── RunnerCrashed             its process is gone; the next request starts a new one
    │   └── UnusableOutput            NaN or infinity
    └── InvalidGGUF                   a file that is not what it claims to be
"""

from __future__ import annotations


class ModelError(Exception):
    """Root of this package's errors."""


# ---- requests ------------------------------------------------------------------------------------------------------


class BadRequest(ModelError):
    """The request cannot be served as it is; the text says why."""


class MissingCapability(BadRequest):
    """The model lacks what the request needs (http-api 4.1)."""


class PromptTooLong(BadRequest):
    """The prompt exceeds the context and may not be cut."""


class InputTooLong(BadRequest):
    """An input to embed exceeds the context and may not be cut."""


class OptionTypeError(ModelError):
    """An option has a value of the wrong type (http-api 5)."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f'option "{name}" must be of {expected}')
        self.name = name
        self.expected = expected


class ModelNotFound(ModelError):
    """No model of this name; the wording differs between endpoints, so the whole text is given."""


# ---- runners -------------------------------------------------------------------------------------------------------


class LoadError(ModelError):
    """A runner could not be started or could not load its model."""


class OutOfMemory(LoadError):
    """The model does not fit the memory that is free."""


class RunnerError(ModelError):
    """The engine failed during a request."""


class RunnerCrashed(RunnerError):
    """The process of the runner ended while it still had requests."""


class UnusableOutput(RunnerError):
    """The model computed NaN or infinity."""


# ---- files ---------------------------------------------------------------------------------------------------------


class InvalidGGUF(ModelError):
    """A GGUF file that is truncated, malformed or lies about its content."""
