"""What can go wrong with names, digests, manifests and the store.

RegistryError
├── InvalidName                 a model name outside the grammar
├── ConflictingSource           both `:local` and `:cloud` in one name
├── InvalidDigest               not `sha256:` and 64 hex digits
├── UnsupportedValue            JSON has no form for it (NaN, infinity)
├── InvalidManifest             bytes that are not a manifest or a model config
│   └── CorruptManifest         the same, found under a name in the store
├── ManifestNotFound            no such model
├── BlobNotFound                no such content
├── BlobTooLarge                content beyond what its reader accepts
├── ContentMismatch
│   ├── DigestMismatch          the bytes have another digest than promised
│   └── SizeMismatch            the bytes have another length than promised
├── StoreUnusable               the file system refused
│   └── StoreBusy               another process kept the store locked
└── TransferError               a model could not be moved from or to a registry
    ├── NotInRegistry           404
    ├── RegistryRefused         any other status from 400 on
    ├── AccessDenied            401, with a token or without a way to get one
    ├── UntrustedRealm          the registry wants its client to identify itself to somebody else
    ├── KeyUnusable             the key that identifies this machine cannot be read or made
    ├── ConnectionFailed        no answer, or one that ended early
    │   └── Stalled             no byte for too long
    ├── BadAnswer               an answer outside the protocol
    ├── EmptyDigest             a layer in the registry's manifest names no content
    ├── ManifestUnavailable     a pull that got no manifest, with the reason
    ├── RetriesExhausted        the last of several failures
    ├── DownloadCorrupt         what came has another digest than the manifest says
    ├── HubRefusal              the Hugging Face Hub does not give us what a name asks for
    └── NeedsMLX                a model in a form that only another engine runs
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Protocol


class Name(Protocol):
    """What an error keeps of a ModelName, whose module needs these errors itself."""

    @property
    def display(self) -> str: ...

    @property
    def full(self) -> str: ...


class ContentDigest(Protocol):
    """What an error keeps of a Digest, whose module needs these errors itself."""

    @property
    def hex(self) -> str: ...


class RegistryError(Exception):
    """Root of everything this package raises on purpose."""


class InvalidName(RegistryError):
    """`text` is not a model name; `text` is as typed, the message is Ollama's."""

    def __init__(self, text: str) -> None:
        super().__init__("invalid model name")
        self.text = text


class ConflictingSource(RegistryError):
    """`text` asks for the local and the cloud model at once; `quoted` is its Go-quoted form."""

    def __init__(self, text: str, quoted: str) -> None:
        super().__init__(f"use either :local or :cloud, not both: {quoted}")
        self.text = text


class InvalidDigest(RegistryError):
    """`text` is not a digest, and so must never become part of a path."""

    def __init__(self, text: str) -> None:
        super().__init__("invalid digest format")
        self.text = text


class UnsupportedValue(RegistryError):
    """A value without a JSON form; the message is that of Go's encoder."""

    def __init__(self, text: str) -> None:
        super().__init__(f"json: unsupported value: {text}")


class InvalidManifest(RegistryError):
    """Bytes that cannot be read as a manifest or a model config."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CorruptManifest(InvalidManifest):
    """The manifest stored at `path` (below the manifest directory) cannot be used."""

    def __init__(self, path: PurePath, reason: str) -> None:
        super().__init__(reason)
        self.path = path

    def __str__(self) -> str:
        return f"corrupt manifest {self.path.as_posix()}: {self.reason}"


class ManifestNotFound(RegistryError):
    """The store has no model of that name."""

    def __init__(self, name: Name) -> None:
        super().__init__(f"model '{name.display}' not found")
        self.name = name


class BlobNotFound(RegistryError):
    """The store has no content of that digest."""

    def __init__(self, digest: ContentDigest) -> None:
        super().__init__(f'blob "{digest}" not found')
        self.digest = digest


class BlobTooLarge(RegistryError):
    """A blob that is read as a whole is larger than its kind may be."""

    def __init__(self, digest: ContentDigest, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f'blob "{digest}" has {size_bytes} bytes, more than the {limit_bytes} that can be read')
        self.digest = digest
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ContentMismatch(RegistryError):
    """Content that is not what was promised; nothing of it was kept."""


class DigestMismatch(ContentMismatch):
    """`expected` is a digest, or its text where a client's spelling is compared."""

    def __init__(self, expected: ContentDigest | str, actual: ContentDigest) -> None:
        super().__init__(f'digest mismatch, expected "{expected}", got "{actual}"')
        self.expected = expected
        self.actual = actual


class SizeMismatch(ContentMismatch):
    """Sizes in bytes; `actual` may be a lower bound when writing stopped at the first byte too many."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"size mismatch, expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class StoreUnusable(RegistryError):
    """The operating system refused a file operation on the store; `errno` is its reason, where it gave one."""

    def __init__(self, text: str, errno: int | None = None) -> None:
        super().__init__(text)
        self.errno = errno


class StoreBusy(StoreUnusable):
    """Another process held the store's lock for longer than anybody should."""

    def __init__(self, path: PurePath, waited_s: float) -> None:
        super().__init__(f"lock {path}: still held by another process after {waited_s:g} s")
        self.path = path


class TransferError(RegistryError):
    """What went wrong on the way from or to a registry. The messages are Ollama's (registry-store-cli 3.4)."""


class NotInRegistry(TransferError):
    """The registry has no such manifest or blob."""

    def __init__(self) -> None:
        super().__init__("file does not exist")


class RegistryRefused(TransferError):
    """`status` is the registry's, `body` the beginning of what it said."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}" if body else str(status))
        self.status = status
        self.body = body


class AccessDenied(TransferError):
    """The registry knows who asks, or cannot be told, and says no."""

    def __init__(self) -> None:
        super().__init__("unauthorized: access denied")


class UntrustedRealm(TransferError):
    """Credentials are asked for on another host than the one that asks: they are not sent there."""

    def __init__(self, realm_host: str, host: str) -> None:
        super().__init__(f'realm host "{realm_host}" does not match original host "{host}"')


class KeyUnusable(TransferError):
    """The text names the file and what is wrong with it."""


class ConnectionFailed(TransferError):
    """The text is the failure as Go's client words it."""


class Stalled(ConnectionFailed):
    """Nothing came for too long; trying again costs nothing but time."""


class BadAnswer(TransferError):
    """The text says what the registry should not have sent."""


class EmptyDigest(TransferError):
    """`repository` is `namespace/model`."""

    def __init__(self, repository: str) -> None:
        super().__init__(f"{repository}: digest is empty")


class ManifestUnavailable(TransferError):
    """`reason` is why there is no manifest to pull by."""

    def __init__(self, reason: RegistryError) -> None:
        super().__init__(f"pull model manifest: {reason}")
        self.reason = reason


class RetriesExhausted(TransferError):
    """`last` is the failure after which there was no further attempt."""

    def __init__(self, last: RegistryError) -> None:
        super().__init__(f"max retries exceeded: {last}")
        self.last = last


class DownloadCorrupt(TransferError):
    """The content was removed; the manifest was not written."""

    def __init__(self, expected: ContentDigest, actual: ContentDigest) -> None:
        super().__init__(f"digest mismatch, file must be downloaded again: want {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class HubRefusal(TransferError):
    """The text says what is missing, and what its reader can do about it."""


class NeedsMLX(TransferError):
    """The model's weights are single tensors, which llama.cpp does not read."""

    def __init__(self) -> None:
        super().__init__("this model requires MLX support, but the MLX runtime is not available")
