from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from bench.random_model import SMOL, Kind, find_shape, quantized


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_0, Kind.Q4_K, Kind.Q6_K, Kind.IQ4_XS, Kind.F16, Kind.BF16])
def test_random_blocks_have_the_deviation_that_was_asked_for(kind: Kind) -> None:
    pool = np.frombuffer(np.random.default_rng(0).bytes(1 << 20), np.uint8)
    rows = quantized(pool, 64, 512, 0.5, kind)
    assert rows.shape == (64, 512 // gguf.GGML_QUANT_SIZES[kind][0] * gguf.GGML_QUANT_SIZES[kind][1])
    values = dequantize(rows, kind)
    assert values.shape == (64, 512)
    assert values.std() == pytest.approx(0.5, rel=0.02) and abs(values.mean()) < 0.06
    assert len(np.unique(values, axis=0)) == 64, "no row is another's copy"


def test_shapes_are_found_by_name_and_type() -> None:
    assert find_shape("smol-135m.Q8_0") == SMOL
    for name in ("llama-1b.IQ4_XS", "llama-8b.Q4_K_M", "smol-135m.F16", "embed-135m.BF16"):
        shape = find_shape(name)
        assert shape is not None and shape.file_name == f"{name}.gguf"


@pytest.mark.parametrize("name", ["smol-135m", "smol-135m.Q9_9", "giant.Q8_0", "", "smol-135m.Q6_K"])
def test_a_shape_that_there_is_not_is_not_found(name: str) -> None:
    """The last one's rows are no multiple of such a block."""
    assert find_shape(name) is None
