"""The files that a model is converted from: its configuration, its tokenizer's files, its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from models.create.convert.config import Config
from models.create.convert.safetensors import StoredTensor, read_head
from models.errors import CreateFailed
from registry.gojson import quote

MAX_JSON_BYTES: Final = 256 * 1024 * 1024
"""More than any tokenizer needs."""

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"


class Checkpoint:
    """A model's directory as a map of relative names to files, wherever those really are."""

    def __init__(self, files: Mapping[str, Path], name: str = "") -> None:
        self.files = files
        self.name = name

    @cached_property
    def config(self) -> Config:
        """`config.json`. Raises: CreateFailed.

        # Compat: registry-store-cli 6.6 for the error texts.
        """
        if not self.has(CONFIG):
            raise CreateFailed(f"open {CONFIG}: no such file or directory")
        try:
            return Config(self.json(CONFIG) or {})
        except CreateFailed as error:
            raise CreateFailed(f"parse {CONFIG}: {error}") from error

    def has(self, name: str) -> bool:
        return name in self.files

    def raw(self, name: str, limit_bytes: int = MAX_JSON_BYTES) -> bytes:
        """A small file as a whole. Raises: CreateFailed when it is absent or not small."""
        path = self.files.get(name)
        if path is None:
            raise CreateFailed(f"open {name}: no such file or directory")
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise CreateFailed(f"{name} is larger than {limit_bytes} bytes")
        return content

    def text(self, name: str) -> str:
        """Raises: CreateFailed."""
        try:
            return self.raw(name).decode()
        except UnicodeDecodeError as error:
            raise CreateFailed(f"{name} is not UTF-8") from error

    def json(self, name: str) -> dict[str, Any] | None:
        """A JSON object; None if there is no such file. Raises: CreateFailed."""
        value = self.any_json(name)
        if value is not None and not isinstance(value, dict):
            raise CreateFailed(f"{name} is not a JSON object")
        return value

    def any_json(self, name: str) -> Any:
        """A JSON value; None if there is no such file. Raises: CreateFailed."""
        if not self.has(name):
            return None
        try:
            return json.loads(self.text(name))
        except RecursionError as error:
            raise CreateFailed(f"{name} is nested too deeply") from error
        except ValueError as error:
            raise CreateFailed(f"{name}: {error}") from error

    def stored_tensors(self) -> dict[str, StoredTensor]:
        """The tensors of all weight files, in the order of the files.

        Raises: CreateFailed; when there is an index, also for what it lists and the files lack, or the other way.
        # Compat: registry-store-cli 6.6 for the error texts.
        """
        index = self._index()
        found: dict[str, StoredTensor] = {}
        for file_name in sorted(set(index.values())) if index else self._weight_files():
            if not self.has(file_name):
                raise CreateFailed(f"open {file_name}: no such file or directory")
            for name, tensor in read_head(self.files[file_name], file_name).items():
                if name in found:
                    raise CreateFailed(f"duplicate tensor name '{name}' was found for this model")
                found[name] = tensor
        if not found:
            raise CreateFailed("unknown tensor format")
        if index and (wrong := sorted(index.keys() ^ found.keys())):
            raise CreateFailed(f"tensor {quote(wrong[0])} is in only one of the index and the files")
        return found

    def _weight_files(self) -> list[str]:
        """Those in the directory itself that are called `model…`, else any in it; a model's parts have their own."""
        top = sorted(n for n in self.files if n.endswith(".safetensors") and PurePosixPath(n).parent == PurePosixPath())
        return [name for name in top if name.startswith("model")] or top

    def _index(self) -> dict[str, str]:
        index = (self.json(INDEX) or {}).get("weight_map") or {}
        if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
            raise CreateFailed(f"{INDEX} has no proper weight_map")
        return index
