"""Which files a FROM, ADAPTER or DRAFT means: a path as a Modelfile writes it → the files to upload.

# Compat: registry-store-cli 6.8 (parser/parser.go expandPath, filesForModel, fileDigestMap; cmd/cmd.go
createRequestFileNames).
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from server.cli.errors import CliError
from server.cli.sniffing import HEAD_BYTES, content_type

_ANY = ""
_BINARY = "application/octet-stream"
_TEXT = "text/plain"
_ZIP = "application/zip"

# The first group with a match has the weights; all files of a group must be of its type, or it does not count.
_WEIGHTS = (
    (("model*.safetensors", "*/model*.safetensors"), _ANY),
    (("consolidated*.safetensors",), _ANY),
    (("adapter_model.safetensors", "adapters.safetensors"), _ANY),
    (("pytorch_model*.bin",), _ZIP),
    (("consolidated*.pth",), _ZIP),
    (("*.gguf",), _BINARY),
    (("*.bin",), _BINARY),
)
_COMPANIONS = ("*.json", "*/*.json", "chat_template.jinja")
_TOKENIZERS = (("tokenizer.model", _BINARY), ("*/tokenizer.model", _TEXT))


def expand_path(text: str, folder: Path, home: Path) -> Path:
    """The absolute path that a Modelfile in `folder` means; `~`, `~/x`, `~user/x` are expanded.

    Raises: CliError for an unknown user.
    """
    if text.startswith("~"):
        user, _, rest = text[1:].partition("/")
        start = home if not user else _home_of(user)
        return Path(os.path.normpath(start / rest))
    return Path(os.path.normpath(folder / text))


def _home_of(user: str) -> Path:
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError as error:
        raise CliError(f"failed to find user '{user}': user: unknown user {user}") from error


def files_at(path: Path) -> list[Path]:
    """The file itself, or the files of a model's folder. Raises: CliError, FileNotFoundError."""
    if not stat.S_ISDIR(path.stat().st_mode):
        return [path]
    return [_resolve_inside(file, path) for file in _files_of_folder(path)]


def _files_of_folder(folder: Path) -> list[Path]:
    files = _weights(folder)
    if not files:
        raise CliError("no Modelfile or safetensors files found")
    for pattern in _COMPANIONS:
        found = _glob(folder, pattern)
        for file in found:
            if (kind := _sniff(file)) != _TEXT:
                # Compat: the message names the type that was found, not the one that was expected.
                raise CliError(f"invalid content type: expected {kind} for {file}")
        files += found
    for pattern, kind in _TOKENIZERS:
        found = _glob(folder, pattern)
        if found and all(_sniff(file) == kind for file in found):
            return files + found
    return files


def _weights(folder: Path) -> list[Path]:
    for patterns, kind in _WEIGHTS:
        first, *further = patterns
        files = _glob(folder, first)
        if files and (kind == _ANY or all(_sniff(file) == kind for file in files)):
            return files + [file for pattern in further for file in _glob(folder, pattern)]
    return []


def _glob(folder: Path, pattern: str) -> list[Path]:
    """Matches in order of their names; a star also matches a leading dot, as in Go."""
    head, _, tail = pattern.rpartition("/")
    folders = [entry for entry in sorted(folder.iterdir()) if entry.is_dir()] if head else [folder]
    return [entry for parent in folders for entry in sorted(parent.iterdir()) if fnmatchcase(entry.name, tail)]


def _sniff(file: Path) -> str:
    with file.open("rb") as stream:
        return content_type(stream.read(HEAD_BYTES))


def _resolve_inside(file: Path, folder: Path) -> Path:
    """The file behind symbolic links. Raises: CliError when that lies outside the folder as it was written."""
    resolved = Path(os.path.realpath(file))
    relative = os.path.relpath(resolved, folder)
    if relative == ".." or relative.startswith("../"):
        hint = "\n\nUse --local-dir <dir> when downloading model to disable caching" if ".cache" in relative else ""
        raise CliError(f"insecure path: {relative}{hint}")
    return resolved


def request_names(files: Iterable[Path]) -> Mapping[Path, str]:
    """What the request calls the files: relative to the deepest folder they share; a single file by its name."""
    paths = list(files)
    if len(paths) < 2:
        return {path: path.name for path in paths}
    root = os.path.commonpath([path.parent for path in paths])
    return {path: path.relative_to(root).as_posix() for path in paths}
