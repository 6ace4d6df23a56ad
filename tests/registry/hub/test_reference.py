from __future__ import annotations

import pytest

from registry.hub.reference import Reference
from registry.names import ModelName


@pytest.mark.parametrize(
    ("text", "label", "revision"),
    [
        ("hf.co/u/r", "", ""),
        ("hf.co/u/r:Latest", "", ""),
        ("hf.co/u/r:Q4_K_M", "Q4_K_M", ""),
        ("hf.co/u/r@main", "", "main"),
        ("hf.co/u/r:Q4_K_M@v1.0", "Q4_K_M", "v1.0"),
        ("hf.co/u/r:Q4_K_M--v1.0", "Q4_K_M", "v1.0"),
        ("hf.co/u/r:m.Q4_K_M@a--b", "m.Q4_K_M", "a--b"),
        ("hf.co/u/r@refs/pr/1", "", "refs/pr/1"),
        ("hf.co/u/r@refs%2Fpr%2F1", "", "refs/pr/1"),
        ("hf.co/u/r:latest--refs..pr..1", "", "refs/pr/1"),
        ("hf.co/u/r:m..x@feature/a.b/c", "m..x", "feature/a.b/c"),
        ("hf.co/u/r@a./b", "", "a./b"),
    ],
)
def test_a_name_says_label_and_revision(text: str, label: str, revision: str) -> None:
    name = ModelName.parse(text)
    assert Reference.of(name) == Reference("u/r", label, revision)
    assert Reference.of(ModelName.parse(name.display)) == Reference("u/r", label, revision)
