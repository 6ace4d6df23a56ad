"""Finding files in a tree of fixed depth whose path is a name, in any case of its letters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

Parts = tuple[str, ...]


def walk(directory: Path, depth: int, above: Parts = ()) -> Iterator[Parts]:
    """The paths of everything exactly `depth` levels down that is no directory; links are followed on the way.

    A directory that may not be read yields its own, shorter path: what is below it stays unknown.
    """
    try:
        entries = _entries(directory)
    except PermissionError:
        yield above
        return
    for entry in entries:
        parts = (*above, entry.name)
        if depth == 1 and not _is_directory(entry):
            yield parts
        elif depth > 1 and _is_directory(entry):
            yield from walk(directory / entry.name, depth - 1, parts)


def find(directory: Path, parts: Parts) -> list[Parts]:
    """The paths below the directory that match `parts` in any case and do not end in a directory."""
    if len(parts) == 1:
        return [(last,) for last in spellings(directory, parts[0], of_directories=False)]
    return [
        (first, *rest)
        for first in spellings(directory, parts[0], of_directories=True)
        for rest in find(directory / first, parts[1:])
    ]


def spellings(directory: Path, name: str, *, of_directories: bool) -> list[str]:
    """What the directory has under this name in any case; nothing if it does not exist."""
    lower = name.lower()
    return [
        entry.name
        for entry in _entries(directory)
        if entry.name.lower() == lower and _is_directory(entry) == of_directories
    ]


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []  # not yet there, or gone by now


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself, or to where we may not look
