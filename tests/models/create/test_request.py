from __future__ import annotations

from typing import Any

import pytest

from models.create.request import CreateRequest, check_request, is_relative_path
from models.errors import CreateRefused
from registry.errors import InvalidName
from registry.names import ModelName


@pytest.mark.parametrize("name", ["a", "a.gguf", "a/b/c.gguf", ".", "...", ".a", "a\\b", "..a/b..", "C:\\x"])
def test_paths_that_stay_below_are_accepted(name: str) -> None:
    assert is_relative_path(name)


@pytest.mark.parametrize("name", ["", "/a", "./a", "a//b", "a/", "..", "../a", "a/../b", "a/./b", "/", "a/.."])
def test_paths_that_are_not_clean_are_refused(name: str) -> None:
    assert not is_relative_path(name)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"files": {"/a": ""}}, "file path must be relative"),
        ({"files": {"a": ""}}, "invalid digest format"),
        ({"files": {"a": "x"}, "draft_files": {"../b": "x"}}, "file path must be relative"),
        ({"draft_files": {"b": ""}}, "invalid digest format"),
        ({"draft_quantize": "q8_0", "adapters": {"a": ""}}, "--draft-quantize requires a DRAFT model"),
        ({"adapters": {"/a": ""}, "name": ""}, "invalid digest format"),
    ],
)
def test_checks_come_in_ollamas_order(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(CreateRefused) as refused:
        check_request(CreateRequest(**{"name": "m", **fields}))
    assert str(refused.value) == text


def test_names_of_adapters_are_not_looked_at_but_that_of_the_model_is() -> None:
    assert check_request(CreateRequest("m:1", adapters={"/etc/x": "sha256:1"})) == ModelName.parse("m:1")
    with pytest.raises(InvalidName):
        check_request(CreateRequest(""))
