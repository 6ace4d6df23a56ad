"""What a model is called: `host/namespace/model:tag`, and the source suffixes that a request may add."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from registry.errors import ConflictingSource, InvalidName
from registry.gojson import quote

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
HUB_HOSTS = ("hf.co", "huggingface.co")
REVISION_MARK = "--"
"""Between tag and revision in a name on the Hugging Face Hub; `parse` reads `@` as well, which no tag may have."""
REVISION_SLASH = ".."
"""For a slash of a revision, which no tag may have either: Git has neither two dots in a row nor a dot behind a slash.

Source: git-check-ref-format.
"""

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_FORMS = (_HOST, _NAMESPACE, _MODEL, _MODEL)
_HUB_REVISION = re.compile(rf"((?:[^/]*://)?(?:{'|'.join(map(re.escape, HUB_HOSTS))})/[^@]+)@([^@:]+)", re.IGNORECASE)
_ESCAPED_SLASH = re.compile("%2F", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelName:
    """A valid, complete name. Made by `parse` or `from_parts`; case is kept as given, so compare with `matches`."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read `[scheme://][host/][namespace/]model[:tag]`, filling in the defaults; a scheme is read over.

        On the Hugging Face Hub alone `@revision` may follow, which becomes a part of the tag; a slash in it may be
        written as in addresses there, `%2F`.
        Raises: InvalidName.
        # Compat: registry-store-cli 1.1, 1.2; types/model/name.go ParseName 0.33.
        """
        rest, revision = _cut_revision(text)
        tag = DEFAULT_TAG
        if rest.rfind(":") > rest.rfind("/"):
            rest, tag = _cut_last(rest, ":")
        tag += revision
        if "/" not in rest:
            return cls._checked(text, DEFAULT_HOST, DEFAULT_NAMESPACE, rest, tag)
        rest, model = _cut_last(rest, "/")
        if "/" not in rest:
            return cls._checked(text, DEFAULT_HOST, rest, model, tag)
        rest, namespace = _cut_last(rest, "/")
        return cls._checked(text, rest.split("://", 1)[-1], namespace, model, tag)

    @classmethod
    def from_parts(cls, host: str, namespace: str, model: str, tag: str) -> ModelName:
        """The name made of exactly these parts, as found on disk; an empty part is not filled in."""
        return cls._checked(f"{host}/{namespace}/{model}:{tag}", host, namespace, model, tag)

    @classmethod
    def _checked(cls, text: str, *parts: str) -> ModelName:
        if not all(form.fullmatch(part) for form, part in zip(_FORMS, parts, strict=True)):
            raise InvalidName(text)
        return cls(*parts)

    @property
    def parts(self) -> tuple[str, str, str, str]:
        return self.host, self.namespace, self.model, self.tag

    @property
    def full(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def display(self) -> str:
        """The short form of replies: no default host, then no default namespace either; always with the tag."""
        if self.host.lower() != DEFAULT_HOST:
            return self.full
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def path(self) -> PurePosixPath:
        """Where the manifest lies below the manifest directory."""
        return PurePosixPath(*self.parts)

    def __str__(self) -> str:
        return self.full


def matches(a: ModelName, b: ModelName) -> bool:
    """Whether both are one model: names differ in nothing but the case of their letters."""
    return a.full.lower() == b.full.lower()


def _cut_revision(text: str) -> tuple[str, str]:
    """The name as others write it, and what its tag has more for a revision on the Hub."""
    match = _HUB_REVISION.fullmatch(text)
    if match is None:
        return text, ""
    parts = _ESCAPED_SLASH.sub("/", match[2]).split("/")
    if any(not part or part.startswith(".") or ".." in part for part in parts):
        return text, ""  # no revision has such a name, and with the `@` it is no model's either
    return match[1], f"{REVISION_MARK}{REVISION_SLASH.join(parts)}"


def _cut_last(text: str, separator: str) -> tuple[str, str]:
    """Both sides of the last separator; an empty side stays empty and so fails the check."""
    before, _, after = text.rpartition(separator)
    return before, after


class Source(enum.Enum):
    """Where a request wants its model from."""

    ANY = "any"
    LOCAL = "local"
    CLOUD = "cloud"


def parse_source(text: str) -> tuple[str, Source]:
    """Split a requested name into the name proper and its source suffix: `:local`, `:cloud`, or a tag's `-cloud`.

    Text without a suffix comes back trimmed, even when it is empty.
    Raises: ConflictingSource when what remains has a suffix again.
    # Compat: registry-store-cli 1.4.
    """
    typed = text.strip()
    base, source = _strip_source(typed)
    if source is not Source.ANY and _strip_source(base)[1] is not Source.ANY:
        raise ConflictingSource(typed, quote(typed))
    return base, source


def to_cloud_name(base: str) -> str:
    """The registry's name for the stub of a cloud model: `m` → `m:cloud`, `m:7b` → `m:7b-cloud`.

    # Compat: registry-store-cli 1.4, the row of pull and delete.
    """
    return f"{base}-cloud" if base.rfind(":") > base.rfind("/") else f"{base}:cloud"


def _strip_source(text: str) -> tuple[str, Source]:
    base, separator, last = text.rpartition(":")
    suffix = last.strip().lower()
    if not separator:
        return text, Source.ANY
    if suffix == "cloud":
        return base.strip(), Source.CLOUD
    if suffix == "local":
        return base.strip(), Source.LOCAL
    if suffix.endswith("-cloud") and "/" not in suffix:
        return f"{base}:{last.strip()[: -len('-cloud')]}", Source.CLOUD
    return text, Source.ANY
