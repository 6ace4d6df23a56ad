"""How content is named: the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from registry.errors import InvalidDigest

_FORM = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 digest; `hex` keeps its case, because it is part of a file name. Made by `parse` or `of`."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Accept `sha256:<64 hex>` and the file name form `sha256-<64 hex>`.

        Raises: InvalidDigest for everything else, so that no other text can reach a path.
        # Compat: registry-store-cli 2.1.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidDigest(text)
        return cls(match[1])

    @classmethod
    def of(cls, content: bytes) -> Digest:
        return cls(hashlib.sha256(content).hexdigest())

    @property
    def file_name(self) -> str:
        return f"sha256-{self.hex}"

    @property
    def short(self) -> str:
        """The first twelve hex digits, as progress lines show them."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
