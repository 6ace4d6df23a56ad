"""The one place that knows statuses: exception class → status, looked up along the class order.

Texts are `str(error)`; a dialect only shapes the body. What is in no row is a defect, or a failure of the system that
nobody translated: 500.
"""

from __future__ import annotations

from collections.abc import Mapping

from models import errors as models
from models.parsers.errors import ParserError
from models.templates import errors as templates
from registry import errors as registry
from server.formats import InvalidFormat
from server.generation import CloudDisabled
from server.json_decoding import errors as decoding
from server.scheduler import QueueFull
from server.transport.bodies import BodyTooLarge, ClientGone


class ServerError(Exception):
    """Root of what the routes themselves find wrong with a request.

    ServerError
    ├── MissingBody           a route that needs a body got none
    ├── BadField              a field that was read well, but says what cannot be
    ├── CloudUnavailable      something of Ollama's cloud, which this server does not speak to
    ├── AccountUnavailable    the same of its accounts
    ├── SignOutFailed
    └── TransferFailed        a model could not be moved from or to a registry
    """


class MissingBody(ServerError):
    """There is nothing but white space."""

    def __init__(self) -> None:
        super().__init__("missing request body")


class BadField(ServerError):
    """The text names the field and what is wrong."""


class CloudUnavailable(ServerError):
    """`feature` is what Ollama's server would have asked its cloud for."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"ollama cloud is disabled: {feature} unavailable")


class AccountUnavailable(ServerError):
    """There are no accounts here."""

    def __init__(self) -> None:
        super().__init__("account unavailable")


class SignOutFailed(ServerError):
    """There is nobody to sign out."""

    def __init__(self) -> None:
        super().__init__("there was an error signing out")


class TransferFailed(ServerError):
    """The text is what a client of a transfer hears."""


STATUSES: Mapping[type[Exception], int] = {
    # requests
    MissingBody: 400,
    BadField: 400,
    decoding.DecodeError: 400,
    decoding.BodyTooComplex: 413,
    BodyTooLarge: 413,
    ClientGone: 499,
    # names and the store
    registry.InvalidName: 400,
    registry.ConflictingSource: 400,
    registry.InvalidDigest: 400,
    registry.ManifestNotFound: 404,
    registry.BlobNotFound: 404,
    registry.ContentMismatch: 400,
    registry.BlobTooLarge: 500,
    registry.InvalidManifest: 500,
    registry.UnsupportedValue: 500,
    registry.StoreUnusable: 500,
    registry.TransferError: 500,
    registry.TransferError: 500,
    # models
    models.BadRequest: 400,
    models.ModelNotFound: 404,
    models.WeightsMissing: 404,
    models.BlobMissing: 500,
    models.OptionTypeError: 500,
    models.LoadError: 500,
    models.RunnerError: 500,
    models.InvalidGGUF: 500,
    models.InvalidLayer: 500,
    models.CreateFailed: 500,
    models.ModelfileError: 400,
    templates.TemplateError: 500,
    ParserError: 500,
    InvalidFormat: 500,
    QueueFull: 503,
    # what belongs to Ollama's cloud
    CloudDisabled: 403,
    CloudUnavailable: 403,
    AccountUnavailable: 503,
    SignOutFailed: 500,
    TransferFailed: 500,
}

EXPECTED = (
    registry.RegistryError,
    models.ModelError,
    decoding.DecodeError,
    ServerError,
    BodyTooLarge,
    ClientGone,
)
"""Errors that are answers: their text is for the client, their traceback for nobody."""

OF_THE_ENGINE = (
    InvalidFormat,
    models.RunnerError,
    models.ContextExceeded,
    models.RefusedByEngine,
    models.Unsupported,
    models.InvalidConstraint,
    templates.InvalidChat,
    templates.UnsupportedChat,
)
"""What Ollama hears from its engine, and so reports as the first record of a stream (http-api 1.5)."""


def find_status(kind: type[BaseException]) -> int | None:
    """The row of a class or of the nearest class above it; None where there is no row."""
    return next((STATUSES[base] for base in kind.__mro__ if base in STATUSES), None)


def status_of(error: Exception) -> int:
    return find_status(type(error)) or 500
