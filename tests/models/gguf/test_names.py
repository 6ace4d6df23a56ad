from __future__ import annotations

import pytest

from models.gguf.names import block_shape, file_type_name, human_number, quantization_level, tensor_type_name


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0"), (999, "999"), (1_000, "1K"), (1_001, "1K"), (1_500, "2K"), (2_500, "2K"), (606_976, "607K"),
        (999_999, "1000K"), (1_000_000, "1M"), (125_000_000, "125M"), (134_515_008, "134.52M"),
        (999_999_999, "1000.00M"), (1_000_000_000, "1B"),
        (2_850_000_000, "2.9B"), (8_030_261_312, "8.0B"), (1_000_000_000_000, "1000B"),
    ],
)  # fmt: skip
def test_parameters_are_counted_in_words(n: int, text: str) -> None:
    assert human_number(n) == text


def test_a_file_of_type_0_is_f32_by_name_and_unknown_by_level() -> None:
    assert (file_type_name(0), quantization_level(0), quantization_level(None)) == ("F32", "unknown", "unknown")
    assert (file_type_name(15), quantization_level(15), quantization_level(4)) == ("Q4_K_M", "Q4_K_M", "unknown")


def test_tensor_types_have_names_and_blocks() -> None:
    assert (tensor_type_name(14), block_shape(14)) == ("Q6_K", (256, 210))
    assert (tensor_type_name(4), block_shape(4)) == ("unknown", (1, 0))
