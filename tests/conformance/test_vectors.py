"""The recorded prompts and parsed replies of the original, one file of vectors for each suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.run_vectors import differences

_FILES = sorted((Path(__file__).parent / "vectors").rglob("*.json"))
_VECTORS = [vector for file in _FILES for vector in json.loads(file.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: f"{vector['suite']}: {vector['name']}")
def test_the_program_does_what_the_original_did(vector: dict[str, Any]) -> None:
    assert not differences(vector)
