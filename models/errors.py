"""Everything that can go wrong with a model. `str(error)` is the text that a client sees; statuses are `server`'s.

ModelError
├── BadRequest                    the client asked for something that cannot be (400)
│   ├── MissingCapability         the model cannot do that
│   ├── RefusedByEngine           what the engine found wrong with it
│   ├── ContextExceeded           the prompt does not fit the context, and may not be cut
│   ├── InputTooLong              the same for embeddings
│   ├── InvalidToken              a token id that the vocabulary lacks
│   ├── InvalidConstraint         a schema or grammar that cannot be followed
│   ├── Unsupported               this model or build cannot do that
│   └── CreateRefused             a model cannot be created from what was sent
│       └── BadInfoField          one of the `info` of the request has the wrong type
├── OptionTypeError               an option of the wrong type, in the request or stored with the model
├── ModelNotFound                 no such model, or its weights are gone
├── LoadError                     the model could not be loaded
│   └── OutOfMemory
├── RunnerError                   the engine failed while it computed
│   ├── RunnerCrashed             its process is gone; the next request starts a new one
│   ├── ContextLost               a computation failed; what the context knew is gone
│   └── UnusableOutput            NaN or infinity
├── InvalidGGUF                   a file that is not what it claims to be
├── InvalidLayer                  a blob of a stored model that is not what its media type says
├── BlobMissing                   a blob of a stored model, or one to create from, is not in the store
│   └── WeightsMissing            the blob with the model's weights
├── CreateFailed                  a model could not be created
│   └── UnsupportedQuantization   a type that create does not quantize to
└── ModelfileError                a Modelfile that cannot be read
"""

from __future__ import annotations

from pathlib import Path


class ModelError(Exception):
    """Root of this package's errors."""


# ---- requests ------------------------------------------------------------------------------------------------------


class BadRequest(ModelError):
    """The request cannot be served as it is; the text says why."""


class MissingCapability(BadRequest):
    """The model lacks what the request needs (http-api 4.1)."""


class RefusedByEngine(BadRequest):
    """What the engine, and not the server, found wrong with a request."""

    @classmethod
    def saying(cls, message: str) -> RefusedByEngine:
        """# Compat: http-api 4.5: the body of llama.cpp's server stands as the text."""
        return cls(f'{{"error":{{"code":400,"message":"{message}","type":"invalid_request_error"}}}}')


class ContextExceeded(BadRequest):
    """A prompt of `n_prompt` tokens exceeds a context of `n_ctx` and may not be cut; the text is Ollama's."""

    def __init__(self, n_prompt: int, n_ctx: int, text: str) -> None:
        super().__init__(text)
        self.n_prompt = n_prompt
        self.n_ctx = n_ctx


class InputTooLong(BadRequest):
    """An input to embed exceeds the context and may not be cut."""


class InvalidToken(BadRequest):
    """A token id outside the vocabulary."""

    def __init__(self, token: int, n_vocab: int) -> None:
        super().__init__(f"invalid token {token}: the vocabulary has {n_vocab}")
        self.token = token
        self.n_vocab = n_vocab


class InvalidConstraint(BadRequest):
    """A JSON schema or grammar that is malformed, too large, or asks for what cannot be enforced."""


class Unsupported(BadRequest):
    """The loaded model, or this build of the engine, cannot do what was asked."""


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

    @classmethod
    def terminated(cls, text: str, how: str = "exit status 1") -> LoadError:
        """# Compat: http-api 7.5: clients know the failure of a load by these words."""
        return cls(f"llama-server process has terminated: {how}" + (f": {text}" if text else ""))


class OutOfMemory(LoadError):
    """The model does not fit the memory that is free."""


class RunnerError(ModelError):
    """The engine failed during a request."""


class RunnerCrashed(RunnerError):
    """The process of the runner ended while it still had requests."""


class ContextLost(RunnerError):
    """A native computation failed; the context has to be built anew."""


class UnusableOutput(RunnerError):
    """The model computed NaN or infinity."""


# ---- files ---------------------------------------------------------------------------------------------------------


class InvalidGGUF(ModelError):
    """A GGUF file that is truncated, malformed or lies about its content."""


class InvalidLayer(ModelError):
    """A layer of a stored model cannot be read as its media type; `reason` is the decoder's text."""

    def __init__(self, media_type: str, reason: str) -> None:
        super().__init__(reason)
        self.media_type = media_type
        self.reason = reason


class BlobMissing(ModelError):
    """A blob that should be in the store is not."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"open {path}: no such file or directory")
        self.path = path


class WeightsMissing(BlobMissing):
    """The manifest is there, the weights are not."""


# ---- create --------------------------------------------------------------------------------------------------------


class CreateRefused(BadRequest):
    """The request to create a model contradicts itself or the files it names; the text says how."""


class BadInfoField(CreateRefused):
    """A member of `info` has the wrong type; `wanted` is the right one in words."""

    def __init__(self, key: str, wanted: str) -> None:
        super().__init__(f'info field "{key}" must be {wanted}')
        self.key = key
        self.wanted = wanted


class CreateFailed(ModelError):
    """The request was sound, but its model could not be made."""


class UnsupportedQuantization(CreateFailed):
    """The type is not one that create can quantize to."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"unsupported quantization type {wanted} - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0")
        self.wanted = wanted


class ModelfileError(ModelError):
    """A Modelfile, or a value in it, cannot be read; the text is what the user sees."""
