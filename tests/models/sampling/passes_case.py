"""Both implementations of the passes over logits; where the set-up has not compiled one, tests fail."""

from __future__ import annotations

import pytest

from models.sampling.numpy_passes import NumpyPasses
from models.sampling.passes import CompiledPasses, library
from models.sampling.ports import Passes


def compiled(n_vocab: int) -> Passes:
    found = library()
    assert found is not None, "the compiled passes are not built: run tools/setup.sh"
    return CompiledPasses(n_vocab, found)


IMPLEMENTATIONS = {"compiled": compiled, "numpy": NumpyPasses}

either = pytest.mark.parametrize("passes", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
"""Runs a test with each; `passes` makes them for a size of vocabulary."""
