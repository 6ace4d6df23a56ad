"""What a model's name means on the Hugging Face Hub: a repository, a label that chooses among its files, a revision."""

from __future__ import annotations

from dataclasses import dataclass

from registry.names import DEFAULT_TAG, HUB_HOSTS, REVISION_MARK, ModelName


@dataclass(frozen=True, slots=True)
class Reference:
    """`label` is a quantisation, a file's name or another part of one; empty leaves the choice to us.

    `revision` is a branch, a tag or a commit; empty stands for the main branch.
    """

    repository: str
    label: str = ""
    revision: str = ""

    @classmethod
    def of(cls, name: ModelName) -> Reference:
        label, _, revision = name.tag.partition(REVISION_MARK)
        is_default = label.lower() == DEFAULT_TAG
        return cls(f"{name.namespace}/{name.model}", "" if is_default else label, revision)


def is_on_hub(name: ModelName) -> bool:
    return name.host.lower() in HUB_HOSTS
