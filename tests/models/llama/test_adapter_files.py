"""Adapters that llama.cpp would load, and end the process over at the first decode."""

from __future__ import annotations

import pytest

from models.gguf.values import GGUF, ByteOrder, TensorInfo, ValueType
from models.llama.adapter_files import flaw_of

F32, Q8_1, I32, F64, BF16, NVFP4 = 0, 9, 26, 28, 30, 40
ARCHITECTURE = "general.architecture"
Shapes = dict[str, tuple[int, ...]]
MODEL: Shapes = {
    "token_embd.weight": (64, 260),
    "output.weight": (64, 260),
    "blk.0.attn_q.weight": (64, 32),
    "blk.0.ffn_up_exps.weight": (64, 128, 4),
    "blk.0.attn_norm.weight": (64,),
}
SHAPE, TWICE, TYPE = "incorrect shape", "also what the model predicts with", "nothing can be multiplied with"


def gguf(shapes: Shapes, architecture: str = "llama", **types: int) -> GGUF:
    """`types`: the one of tensors whose names have this in them, where it is not F32."""
    tensors = tuple(
        TensorInfo(name, shape, next((t for part, t in types.items() if part in name), F32), 0)
        for name, shape in shapes.items()
    )
    return GGUF(3, ByteOrder.LITTLE, 0, {ARCHITECTURE: architecture}, {ARCHITECTURE: ValueType.STRING}, tensors=tensors)


def pair(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight.lora_a": a, f"{name}.weight.lora_b": b}


Q = pair("blk.0.attn_q", (64, 2), (2, 32))
EMBEDDING = pair("token_embd", (2, 260), (2, 64))


@pytest.mark.parametrize(
    ("shapes", "flaw"),
    [
        pytest.param(Q, None, id="sound"),
        pytest.param(pair("blk.0.attn_q", (64, 2), (3, 32)), SHAPE, id="ranks differ"),
        pytest.param(pair("blk.0.attn_q", (64, 2, 3), (2, 32, 3)), SHAPE, id="several for one matrix"),
        pytest.param(pair("blk.0.attn_q", (64, 2, 1), (2, 32, 1, 1)), None, id="one, at length"),
        pytest.param(pair("blk.0.ffn_up_exps", (64, 2, 4), (2, 128, 4)), None, id="one for each expert"),
        pytest.param(pair("blk.0.ffn_up_exps", (64, 2, 3), (2, 128, 3)), SHAPE, id="not for all experts"),
        pytest.param(pair("blk.0.ffn_up_exps", (64, 2), (2, 128)), SHAPE, id="for no expert"),
        pytest.param(pair("blk.0.ffn_up_exps", (64, 2, 4), (2, 128)), SHAPE, id="for half of an expert"),
        pytest.param(pair("blk.0.attn_norm", (64, 2), (2, 1)), None, id="passed over"),
        pytest.param(EMBEDDING, None, id="embeddings, the other way round"),
        pytest.param(pair("token_embd", (2, 260), (3, 64)), SHAPE, id="embeddings, ranks differ"),
        pytest.param(pair("blk.9.attn_q", (1,), (1,)), None, id="llama.cpp knows that it is of another model"),
        pytest.param({"blk.0.attn_q.weight.lora_a": (64, 9)}, None, id="and that one half is missing"),
        pytest.param({"blk.0.attn_norm.weight": (64,)}, None, id="or that it is none"),
    ],
)
def test_what_the_model_cannot_compute_with(shapes: Shapes, flaw: str | None) -> None:
    found = flaw_of(gguf(shapes), gguf(MODEL))
    assert found is None if flaw is None else flaw in (found or "")


@pytest.mark.parametrize(("architecture", "flaw"), [("llama", True), ("bert", False), ("gemma-embedding", False)])
def test_embeddings_that_predict_stay_as_they_are(architecture: str, flaw: bool) -> None:
    model = gguf({name: shape for name, shape in MODEL.items() if name != "output.weight"}, architecture)
    assert (TWICE in (flaw_of(gguf(EMBEDDING), model) or "")) is flaw
    assert flaw_of(gguf(Q), model) is None


@pytest.mark.parametrize(("number", "flaw"), [(I32, True), (F64, True), (Q8_1, True), (77, True), (BF16, False)])
@pytest.mark.parametrize("part", ["lora_a", "lora_b"])
def test_numbers_of_some_types_cannot_be_multiplied(number: int, flaw: bool, part: str) -> None:
    found = flaw_of(gguf(Q, **{part: number}), gguf(MODEL))
    assert (found is not None and TYPE in found and part in found) is flaw


def test_nothing_is_added_to_nvfp4() -> None:
    up = pair("blk.0.ffn_up_exps", (64, 2, 4), (2, 128, 4))
    assert "NVFP4" in (flaw_of(gguf(up), gguf(MODEL, ffn_up=NVFP4)) or "")
    assert flaw_of(gguf(Q), gguf(MODEL, ffn_up=NVFP4)) is None
