"""Images and sound that a prompt names by path: found, read, and taken out of the text."""

from __future__ import annotations

import re
from pathlib import Path

from registry.gojson import quote
from server.cli.errors import CliError
from server.cli.sniffing import content_type
from server.cli.terminal import Output

MAX_BYTES = 100 * 1024 * 1024

# Compat: registry-store-cli 7.9 (cmd/interactive.go extractFileNames): a path starts with /, ./ or \, perhaps behind
# a drive letter, may hold spaces, and ends with a known extension.
_PATH = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)[\S\\ ]+?\.(?i:jpg|jpeg|png|webp|wav)\b")
_ESCAPED = re.compile(r"'\\''|\\([ ()\[\]{}$&;'\\*?~])")

_IMAGES = ("image/jpeg", "image/png", "image/webp")
_AUDIO = ("audio/wave",)


def find_paths(text: str) -> list[str]:
    """Whatever in the text looks like the path of an image or sound file, as it is written there."""
    return _PATH.findall(text)


def take_attachments(text: str, out: Output) -> tuple[str, list[bytes]]:
    """The text without the paths of files that exist, and what is in them.

    Raises: CliError for a file that is neither image nor sound, or too large.
    """
    contents = []
    for written in find_paths(text):
        path = _unescape(written)
        if not Path(path).exists():
            continue
        try:
            kind, content = _read(Path(path))
        except (OSError, CliError) as error:
            out.complain(f"Couldn't process file: {quote(str(error))}\n")
            raise CliError(str(error)) from error
        out.complain(f"Added {kind} '{path}'\n")
        for form in (f"'{path}'", f"'{written}'", written):
            text = text.replace(form, "")
        contents.append(content)
    return text.strip(), contents


def _unescape(path: str) -> str:
    """Undo what a shell's completion or a dragged file adds."""
    return _ESCAPED.sub(lambda match: match[1] or "'", path)


def _read(path: Path) -> tuple[str, bytes]:
    """What kind of thing the file holds, and its bytes."""
    with path.open("rb") as file:
        found = content_type(file.read(512))
        if found not in _IMAGES + _AUDIO:
            raise CliError(f"invalid file type: {found}")
        if path.stat().st_size > MAX_BYTES:
            raise CliError("file size exceeds maximum limit (100MB)")
        file.seek(0)
        return ("audio" if found in _AUDIO else "image"), file.read()
