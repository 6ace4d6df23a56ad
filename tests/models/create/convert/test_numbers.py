from __future__ import annotations

import numpy as np
import pytest

from models.create.convert.numbers import BF16, F8_E4M3, F8_E5M2, F16, F32, Kind, encoded, to_floats


def bits(*values: int) -> np.ndarray:
    return np.array(values, np.uint32).view(np.float32)


@pytest.mark.parametrize(
    ("float32", "bfloat16"),
    [
        (0x3F800000, 0x3F80),  # 1
        (0x3F808000, 0x3F80),  # half way: to even, down
        (0x3F818000, 0x3F82),  # half way: to even, up
        (0x3F808001, 0x3F81),  # above half way
        (0x7F7FFFFF, 0x7F80),  # the largest becomes infinity
        (0xFF800000, 0xFF80),  # minus infinity
        (0x7F800001, 0x7FC0),  # a signalling NaN becomes a quiet one, not infinity
        (0x00000001, 0x0000),
        (0x80000000, 0x8000),
    ],
)
def test_bfloat16_is_rounded_to_the_nearest(float32: int, bfloat16: int) -> None:
    (made,) = encoded(bits(float32), F32, BF16)
    assert made.tolist() == [bfloat16]


def test_bfloat16_stays_as_it_is_and_widens_exactly() -> None:
    raw = np.arange(65536, dtype=np.uint16)
    (same,) = encoded(raw, BF16, BF16)
    assert same.base is raw or same is raw
    (wide,) = encoded(raw, BF16, F32)
    assert (wide.view(np.uint32) == raw.astype(np.uint32) << 16).all()


@pytest.mark.parametrize(
    ("kind", "code", "value"),
    [
        (F8_E4M3, 0x38, 1.0), (F8_E4M3, 0x7E, 448.0), (F8_E4M3, 0xFE, -448.0), (F8_E4M3, 0x01, 2.0**-9),
        (F8_E4M3, 0x08, 2.0**-6), (F8_E4M3, 0x00, 0.0), (F8_E5M2, 0x3C, 1.0), (F8_E5M2, 0x7B, 57344.0),
        (F8_E5M2, 0x7C, np.inf), (F8_E5M2, 0xFC, -np.inf), (F8_E5M2, 0x01, 2.0**-16),
    ],
)  # fmt: skip
def test_eight_bits_are_read(kind: Kind, code: int, value: float) -> None:
    assert to_floats(np.array([code], np.uint8), kind).tolist() == [value]


def test_eight_bits_that_are_no_number_are_none() -> None:
    assert np.isnan(to_floats(np.array([0x7F, 0xFF], np.uint8), F8_E4M3)).all()
    assert np.isnan(to_floats(np.array([0x7D, 0x7E, 0x7F], np.uint8), F8_E5M2)).all()


def test_float16_beyond_its_range_is_infinity_without_a_warning() -> None:
    (made,) = encoded(np.array([1e6], np.float32), F32, F16)
    assert np.isinf(made).all()


@pytest.mark.parametrize("sign", [0, 0x80000000])
@pytest.mark.parametrize(
    "around",
    [
        0x00000000,  # 0 and what is next to nothing
        0x33000000,  # 2^-25: half of the smallest
        0x33800000,  # 2^-24: the smallest
        0x38800000,  # 2^-14: the smallest that is normal
        0x3F800000,  # 1
        0x477FF000,  # 65520: from here on infinity
        0x7F800000,  # infinity, and behind it what is no number
    ],
)
def test_float16_is_what_numpy_makes_of_it(around: int, sign: int) -> None:
    near = np.arange(max(around - 0x8000, 0), around + 0x8000, dtype=np.uint32) | np.uint32(sign)
    apart = np.arange(around & 0x7F000000, 0x80000000, 0x40103, dtype=np.uint32) | np.uint32(sign)
    for floats in (near.view(np.float32), apart.view(np.float32)):
        with np.errstate(all="ignore"):
            expected = floats.astype(np.float16)
        (made,) = encoded(floats, F32, F16)
        assert (made.view(np.uint16) == expected.view(np.uint16)).all()
