"""Which files in `blobs/` may go: pure decisions, carried out by `registry.store`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from registry.digest import Digest
from registry.errors import InvalidDigest

GRACE_NS = 3600 * 1_000_000_000
"""How long nothing is pruned after it was written or renewed: whoever is about to reference it has not done so yet.

# Compat: registry-store-cli 2.6.
"""

_PARTIAL = re.compile(r"(sha256-[0-9a-fA-F]{64})-partial(?:-[0-9]+)?")


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A file in `blobs/`, whatever its name."""

    name: str
    modified_ns: int


def plan_prune(files: Iterable[BlobFile], referenced: Iterable[Digest], *, before_ns: int) -> list[str]:
    """The names of the files last written before `before_ns` that are unfinished, unknown or unreferenced.

    The files of one unfinished download stay or go together, with the youngest of them: their state is written rarely,
    and without it the data would have to be fetched again.
    # Compat: registry-store-cli 2.6; the original ages each file of a download on its own.
    """
    files = list(files)
    kept = {digest.hex.lower() for digest in referenced}
    newest: dict[str, int] = {}
    for file in files:
        unit = _unit(file.name)
        newest[unit] = max(newest.get(unit, file.modified_ns), file.modified_ns)
    return [file.name for file in files if newest[_unit(file.name)] < before_ns and not _is_kept(file.name, kept)]


def plan_removal(dropped: Iterable[Digest], referenced: Iterable[Digest]) -> list[Digest]:
    """The digests, each once, that a removed or replaced model had and no other model has."""
    kept = {digest.hex.lower() for digest in referenced}
    return [digest for digest in dict.fromkeys(dropped) if digest.hex.lower() not in kept]


def _unit(name: str) -> str:
    match = _PARTIAL.fullmatch(name)
    return f"{match[1]}-partial" if match else name


def _is_kept(name: str, kept: Set[str]) -> bool:
    try:
        return Digest.parse(name).hex.lower() in kept
    except InvalidDigest:
        return False
