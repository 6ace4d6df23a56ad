"""What can be asked of the quantizer, and what it is then told to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.create.quantization import TYPES, Quantization, plan_quantization, quantization_target
from models.errors import CreateFailed, UnsupportedQuantization
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF
from tests.fakes.gguf_file import f16, gguf_bytes


def weights(folder: Path, *, file_type: int | None = 1, architecture: str = "llama") -> GGUF:
    file = folder / "m.gguf"
    said = {} if file_type is None else {"general.file_type": file_type}
    file.write_bytes(gguf_bytes({"general.architecture": architecture} | said, [f16("output.weight", 4)]))
    return read_gguf(file)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("q4_k_m", "Q4_K_M"), ("Q4_K", "Q4_K_M"), ("q5_k", "Q5_K_M"), ("bf16", "BF16"), ("F32", "F32")],
)
def test_types_are_known_in_any_case_and_by_their_aliases(said: str, meant: str) -> None:
    assert quantization_target(said) == meant


@pytest.mark.parametrize("said", ["Q4", "COPY", "NVFP4", "15", " Q8_0", "unknown"])
def test_other_words_are_no_types(said: str) -> None:
    with pytest.raises(UnsupportedQuantization, match=f"unsupported quantization type {said.upper()} - supported"):
        quantization_target(said)


def test_every_type_of_the_quantizer_has_its_number() -> None:
    assert {"Q2_K": 10, "Q3_K_L": 13, "Q6_K": 18, "IQ1_S": 24, "TQ2_0": 37, "MXFP4_MOE": 38}.items() <= TYPES.items()


@pytest.mark.parametrize("file_type", [0, 2, 7, 15, 99, None])
def test_only_unquantized_weights_are_quantized(tmp_path: Path, file_type: int | None) -> None:
    with pytest.raises(CreateFailed, match="quantization is only supported for F16, BF16 and F32 models"):
        plan_quantization(weights(tmp_path, file_type=file_type), "Q8_0")


def test_weights_of_the_wanted_type_stay_and_so_do_those_of_which_nothing_is_asked(tmp_path: Path) -> None:
    assert plan_quantization(weights(tmp_path), "f16") is None
    assert plan_quantization(weights(tmp_path, file_type=15), "") is None


@pytest.mark.parametrize(
    ("architecture", "wanted", "pinned"),
    [
        ("llama", "Q4_K_M", ()),
        ("glm4", "Q8_0", ()),
        ("glm4", "q4_k", ((r"^token_embd\.weight$", 1), (r"^output\.weight$", 1))),
        ("gemma3n", "Q4_K_S", ((r"^per_layer_token_embd\.weight$", 1),)),
        ("qwen35", "Q4_K_M", ((r"^blk\.[0-9]+\.nextn\.eh_proj\.weight$", 8),)),
    ],
)
def test_some_tensors_of_some_architectures_stay_more_precise(
    tmp_path: Path, architecture: str, wanted: str, pinned: tuple[tuple[str, int], ...]
) -> None:
    plan = plan_quantization(weights(tmp_path, file_type=32, architecture=architecture), wanted)
    assert plan == Quantization("BF16", quantization_target(wanted), pinned)
