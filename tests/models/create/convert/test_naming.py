from __future__ import annotations

import pytest

from models.create.convert.naming import MAX_BLOCKS, TensorNames
from models.errors import CreateFailed


def test_names_are_not_made_for_more_blocks_than_any_model_has() -> None:
    assert TensorNames("llama", MAX_BLOCKS, {}).named("model.layers.1023.mlp.up_proj.weight").name == (
        "blk.1023.ffn_up.weight"
    )
    with pytest.raises(CreateFailed, match=r"^a model of 1000000000 layers$"):
        TensorNames("llama", 10**9, {})


def test_a_tensor_that_no_table_has_is_refused() -> None:
    names = TensorNames("llama", 2, {"a.{bid}.b": "blk.{bid}.c"})
    assert names.named("a.1.b.bias").name == "blk.1.c.bias"
    with pytest.raises(CreateFailed, match=r"does not know: a\.2\.b\.bias$"):
        names.named("a.2.b.bias")
