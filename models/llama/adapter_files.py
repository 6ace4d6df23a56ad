"""Which adapter files llama.cpp would load and then end the process over, when it computes with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.gguf.names import TENSOR_TYPES, tensor_type_name
from models.gguf.values import GGUF, TensorInfo

_A, _B = ".lora_a", ".lora_b"
_NEVER_MULTIPLIED: Final = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"})
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


def flaw_of(adapter: GGUF, model: GGUF) -> str | None:
    """Why the model cannot compute with the adapter; None where llama.cpp can, or says so itself when it loads it.

    Source: llama-adapter.cpp, llama_adapter_lora_init_impl, for what is looked at; llama-graph.cpp, build_lora_mm,
    build_lora_mm_id and build_inp_embd, for what is not.
    """
    return next(_flaws(adapter, model), None)


def _flaws(adapter: GGUF, model: GGUF) -> Iterator[str]:
    weights = {tensor.name: tensor for tensor in model.tensors or ()}
    found = {tensor.name: tensor for tensor in adapter.tensors or ()}
    for name, a in found.items():
        target, b = weights.get(name.removesuffix(_A)), found.get(name.removesuffix(_A) + _B)
        if not name.endswith(_A) or target is None or b is None:
            continue
        if target.name == _EMBEDDING and _predicts_with_embeddings(model):
            yield f"tensor '{_EMBEDDING}' is also what the model predicts with, and no adapter can change it there"
        elif not _fits(a, b, target):
            yield f"tensor '{target.name}' has incorrect shape (hint: maybe wrong base model?)"
        elif tensor_type_name(target.type) == "NVFP4" and ".ffn_" in target.name:
            yield f"tensor '{target.name}' is NVFP4, to which no adapter can be added"
        yield from (
            f"tensor '{part.name}' is {tensor_type_name(part.type)}, which nothing can be multiplied with"
            for part in (a, b)
            if part.type not in TENSOR_TYPES or tensor_type_name(part.type) in _NEVER_MULTIPLIED
        )


def _fits(a: TensorInfo, b: TensorInfo, target: TensorInfo) -> bool:
    """Whether the ranks agree, and there are as many matrices as in the model: one, or one for each expert."""
    rank = a.shape[:1] if target.name == _EMBEDDING else a.shape[1:2]
    return rank == b.shape[:1] and _n_matrices(a) == _n_matrices(b) == _n_matrices(target)


def _n_matrices(tensor: TensorInfo) -> tuple[int, ...]:
    return (*tensor.shape[2:], 1, 1)[:2]


def _predicts_with_embeddings(model: GGUF) -> bool:
    """Models without a matrix of their own for that do, unless they predict nothing."""
    is_encoder = "bert" in model.architecture or "embed" in model.architecture
    return not is_encoder and all(tensor.name != _OUTPUT for tensor in model.tensors or ())
