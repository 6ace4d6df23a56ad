"""A model's `config.json`, read by what its values have to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from models.errors import CreateFailed

T = TypeVar("T")

TEXT_PARTS: Final = ("text_config", "llm_config", "language_config")


class Config:
    """A JSON object. Each question takes several names, of which the first that has a value counts.

    The `find_` form gives None when there is none; all raise CreateFailed for a value of the wrong type.
    """

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members = members

    @property
    def architecture(self) -> str:
        """The first of `architectures`.

        Raises: CreateFailed.
        # Compat: registry-store-cli 6.6.
        """
        names = self.members.get("architectures")
        if not names:
            raise CreateFailed("unknown architecture")
        if not isinstance(names, list) or not isinstance(names[0], str):
            raise CreateFailed("parse config.json: architectures is not a list of names")
        return names[0]

    def with_members(self, members: Mapping[str, Any]) -> Config:
        """These as well; what they name anew counts."""
        return Config({**self.members, **members})

    def with_defaults(self, members: Mapping[str, Any]) -> Config:
        """These, where there is nothing."""
        return Config({**members, **{k: v for k, v in self.members.items() if v is not None or k not in members}})

    def object(self, name: str) -> Config:
        """A member that is an object; an empty one when it is absent."""
        value = self.members.get(name)
        if value is None:
            return Config({})
        if not isinstance(value, dict):
            raise _wrong(name, "an object")
        return Config(value)

    @property
    def text_part(self) -> Config:
        """What describes the part that reads and writes, where a model has others; empty where it has not."""
        return self.object(next((name for name in TEXT_PARTS if self.has(name)), TEXT_PARTS[0]))

    def has(self, name: str) -> bool:
        return self.members.get(name) is not None

    def find_integer(self, *names: str) -> int | None:
        name, value = self._find(names)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise _wrong(name, "an integer")
        return value

    def integer(self, *names: str) -> int:
        return _there(names, self.find_integer(*names))

    def size(self, *names: str) -> int:
        """An integer that something is divided by, or that counts what there must be."""
        value = self.integer(*names)
        if not 0 < value < 2**31:
            raise _wrong(names[0], "a size")
        return value

    def find_number(self, *names: str) -> float | None:
        name, value = self._find(names)
        if value is None:
            return None
        if type(value) not in (int, float) or not math.isfinite(value):
            raise _wrong(name, "a number")
        return float(value)

    def number(self, *names: str) -> float:
        return _there(names, self.find_number(*names))

    def find_flag(self, *names: str) -> bool | None:
        name, value = self._find(names)
        if value is not None and not isinstance(value, bool):
            raise _wrong(name, "true or false")
        return value

    def flag(self, *names: str) -> bool:
        """False when there is nothing."""
        return bool(self.find_flag(*names))

    def find_text(self, *names: str) -> str | None:
        name, value = self._find(names)
        if value is not None and not isinstance(value, str):
            raise _wrong(name, "a text")
        return value

    def text(self, *names: str) -> str:
        """Empty when there is nothing."""
        return self.find_text(*names) or ""

    def find_list(self, *names: str) -> list[Any] | None:
        name, value = self._find(names)
        if value is not None and not isinstance(value, list):
            raise _wrong(name, "a list")
        return value

    def integers(self, *names: str) -> list[int]:
        """A list of integers; empty when there is none."""
        values = self.find_list(*names) or []
        if not all(type(value) is int for value in values):
            raise _wrong(names[0], "a list of integers")
        return values

    def numbers(self, *names: str) -> list[float]:
        """A list of numbers; empty when there is none."""
        values = self.find_list(*names) or []
        if not all(type(value) in (int, float) for value in values):
            raise _wrong(names[0], "a list of numbers")
        return [float(value) for value in values]

    def _find(self, names: tuple[str, ...]) -> tuple[str, Any]:
        return next(((n, self.members[n]) for n in names if self.members.get(n) is not None), ("", None))


def _there(names: tuple[str, ...], value: T | None) -> T:
    if value is None:
        raise CreateFailed(f"parse config.json: there is no {names[0]}")
    return value


def _wrong(name: str, wanted: str) -> CreateFailed:
    return CreateFailed(f"parse config.json: {name} is not {wanted}")
