from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from bench.random_model import Kind, quantized


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_K, Kind.Q6_K])
def test_random_blocks_have_the_deviation_that_was_asked_for(kind: Kind) -> None:
    pool = np.frombuffer(np.random.default_rng(0).bytes(1 << 20), np.uint8)
    rows = quantized(pool, 64, 512, 0.5, kind)
    assert rows.shape == (64, 512 // gguf.GGML_QUANT_SIZES[kind][0] * gguf.GGML_QUANT_SIZES[kind][1])
    values = dequantize(rows, kind)
    assert values.shape == (64, 512)
    assert values.std() == pytest.approx(0.5, rel=0.02) and abs(values.mean()) < 0.02
    assert len(np.unique(values, axis=0)) == 64, "no row is another's copy"
