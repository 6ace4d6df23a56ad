"""The Go template for weights whose Jinja template is a known one: Ollama's index of them, as data.

`known_templates.json` holds the 20 Go templates that Ollama ships, byte for byte, with their stop strings, and in the
index's order the Jinja texts that stand for them: the public chat templates of their model families. Where a Jinja text
is not known to us, its length and the start of its SHA-256 still recognise the text itself, though nothing like it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from models.create.distance import levenshtein
from registry.gojson import encode

TOO_FAR: Final = 100
"""The distance from which on a template counts as unknown (registry-store-cli 6.5)."""


@dataclass(frozen=True, slots=True)
class KnownTemplate:
    """A Go template with the strings that end a reply."""

    name: str
    template: str
    stop: tuple[str, ...]

    @property
    def parameters_blob(self) -> bytes:
        """The params layer that goes with it."""
        return encode({"stop": self.stop}) + b"\n"


@dataclass(frozen=True, slots=True)
class Reference:
    """A Jinja text that stands for a template; without the text, how long it is and how its SHA-256 begins."""

    name: str
    text: str
    n_characters: int
    digest_start: str

    def distance(self, text: str) -> int:
        """How far the text is from this one, TOO_FAR if that can be seen from the lengths."""
        if abs(len(text) - self.n_characters) >= TOO_FAR:
            return TOO_FAR
        if self.text:
            return levenshtein(self.text, text)
        is_same = len(text) == self.n_characters and _digest(text).startswith(self.digest_start)
        return 0 if is_same else TOO_FAR


def detect_template(chat_template: str) -> KnownTemplate | None:
    """The template whose reference is nearest, the first of equals; None if none is near.

    # Compat: prompting 2.1; template/template.go Named 0.33.
    """
    known = _known()
    nearest = min(known.references, key=lambda reference: reference.distance(chat_template))
    return known.templates[nearest.name] if nearest.distance(chat_template) < TOO_FAR else None


def known_template(name: str) -> KnownTemplate | None:
    """The template of this name."""
    return _known().templates.get(name)


@dataclass(frozen=True, slots=True)
class _Known:
    templates: dict[str, KnownTemplate]
    references: tuple[Reference, ...]


@cache
def _known() -> _Known:
    raw = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    templates = {n: KnownTemplate(n, t["text"], tuple(t["stop"])) for n, t in raw["templates"].items()}
    return _Known(templates, tuple(map(_reference, raw["references"])))


def _reference(fields: dict[str, str]) -> Reference:
    text = fields.get("text", "")
    n_characters = len(text) or int(fields["characters"])
    return Reference(fields["name"], text, n_characters, fields.get("sha256", ""))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
