"""Reading JSON as Go decodes into a struct: the first value counts, names match in any case, null is absent."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from registry.errors import InvalidManifest


class Fields:
    """Typed access to the members of one decoded object.

    Every reader returns its type's empty value for an absent or null member.
    Raises: InvalidManifest when the member has another type.
    """

    def __init__(self, members: dict[str, Any], path: str = "") -> None:
        self._members = {name.lower(): member for name, member in members.items()}
        self._path = path

    def text(self, name: str) -> str:
        member = self._members.get(name.lower())
        if member is None:
            return ""
        if not isinstance(member, str):
            self._reject(name, "a string")
        return member

    def integer(self, name: str) -> int:
        member = self._members.get(name.lower())
        if member is None:
            return 0
        if not isinstance(member, int) or isinstance(member, bool) or not -(2**63) <= member < 2**63:
            self._reject(name, "a 64-bit integer")
        return member

    def texts(self, name: str) -> tuple[str, ...]:
        members = self._list(name)
        if not all(isinstance(member, str) for member in members):
            self._reject(name, "a list of strings")
        return tuple(members)

    def object(self, name: str) -> Fields | None:
        member = self._members.get(name.lower())
        if member is None:
            return None
        if not isinstance(member, dict):
            self._reject(name, "an object")
        return Fields(member, f"{self._path}{name}.")

    def objects(self, name: str) -> tuple[Fields, ...]:
        members = self._list(name)
        if not all(isinstance(member, dict) for member in members):
            self._reject(name, "a list of objects")
        return tuple(Fields(member, f"{self._path}{name}[{index}].") for index, member in enumerate(members))

    def value(self, name: str) -> Any:
        """The member as decoded, None when absent."""
        return self._members.get(name.lower())

    def _list(self, name: str) -> list[Any]:
        member = self._members.get(name.lower())
        if member is None:
            return []
        if not isinstance(member, list):
            self._reject(name, "a list")
        return member

    def _reject(self, name: str, expected: str) -> NoReturn:
        raise InvalidManifest(f"{self._path}{name} is not {expected}")


def decode_object(raw: bytes) -> Fields:
    """The first JSON value of `raw`, which has to be an object; bytes that are not UTF-8 become U+FFFD.

    Raises: InvalidManifest.
    """
    text = raw.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        value, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"invalid JSON: {error}" if text else "invalid JSON: it is empty") from error
    if not isinstance(value, dict):
        raise InvalidManifest("invalid JSON: it is not an object")
    return Fields(value)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
