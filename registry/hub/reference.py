"""What a model's name means on the Hugging Face Hub: a repository, a label that chooses among its files, a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.names import DEFAULT_TAG, HUB_HOSTS, REVISION_MARK, REVISION_SLASH, ModelName

_SLASH = re.compile(rf"{re.escape(REVISION_SLASH)}(?!\.)")
"""Of three dots the first belongs to what comes before the slash: `a...b` is `a./b`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`label` is a quantisation, a file's name or another part of one; empty leaves the choice to us.

    `revision` is a branch, a tag, a commit or another reference (`refs/pr/1`); empty stands for the main branch.
    """

    repository: str
    label: str = ""
    revision: str = ""

    @classmethod
    def of(cls, name: ModelName) -> Reference:
        label, _, revision = name.tag.partition(REVISION_MARK)
        is_default = label.lower() == DEFAULT_TAG
        return cls(f"{name.namespace}/{name.model}", "" if is_default else label, _SLASH.sub("/", revision))


def is_on_hub(name: ModelName) -> bool:
    return name.host.lower() in HUB_HOSTS
