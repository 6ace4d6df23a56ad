"""What a client asks to create, what it hears while that happens, and the checks that need nothing but the request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.errors import CreateRefused
from registry.names import ModelName

NO_DIGEST: Final = "0" * 19
"""Compat: what stands for the digest of work that has none yet (registry-store-cli 6.4)."""


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """The fields of `/api/create` (registry-store-cli 6.2). Empty means not given, but for `files`.

    `name` and `from_name` are as typed. `files`, `adapters`, `draft_files` and `imatrix` map file names to digests;
    `files` None means absent. `license` is any JSON value; `messages` are JSON objects.
    """

    name: str
    from_name: str = ""
    files: Mapping[str, str] | None = None
    adapters: Mapping[str, str] = field(default_factory=dict)
    draft_files: Mapping[str, str] = field(default_factory=dict)
    remote_host: str = ""
    template: str = ""
    system: str = ""
    license: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, Any], ...] = ()
    quantize: str = ""
    draft_quantize: str = ""
    imatrix: Mapping[str, str] = field(default_factory=dict)
    """Ours: the file that tells the quantizer which weights matter."""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """One line about the work; counts are bytes, 0 when they say nothing."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


def check_request(request: CreateRequest) -> ModelName:
    """The name to create, once the request has been found sound.

    Raises: CreateRefused, InvalidName.
    # Compat: registry-store-cli 6.2, checks 2 to 4, in that order.
    """
    for files in (request.files or {}, request.draft_files):
        if not all(is_relative_path(name) for name in files):
            raise CreateRefused("file path must be relative")
        _check_digests(files.values())
    if request.draft_quantize and not request.draft_files:
        raise CreateRefused("--draft-quantize requires a DRAFT model")
    # Compat: of adapters only the digests are looked at.
    _check_digests(request.adapters.values())
    return ModelName.parse(request.name)


def is_relative_path(name: str) -> bool:
    """Whether a file name is a clean path below some directory: `a/b`, but not `/a`, `./a`, `a//b`, `a/`, `../a`."""
    return name == "." or all(part not in ("", ".", "..") for part in name.split("/"))


def _check_digests(digests: Iterable[str]) -> None:
    if not all(digests):
        raise CreateRefused("invalid digest format")
