from __future__ import annotations

import pytest

from registry.upload import MAX_PART_BYTES, plan_stretches

MB = 1_000_000


@pytest.mark.parametrize(
    ("total", "n_stretches", "first"),
    [
        (0, 0, None),
        (1, 1, 1),
        (100 * MB, 1, 100 * MB),
        (100 * MB + 1, 2, 100 * MB),
        (1600 * MB, 16, 100 * MB),
        (3200 * MB, 16, 200 * MB),
        (16_000 * MB, 16, MAX_PART_BYTES),
        (40_000 * MB, 40, MAX_PART_BYTES),
    ],
)
def test_parts_of_an_upload_are_the_originals(total: int, n_stretches: int, first: int | None) -> None:
    stretches = plan_stretches(total)
    assert len(stretches) == n_stretches
    assert (stretches[0].size_bytes if stretches else None) == first
    assert sum(stretch.size_bytes for stretch in stretches) == total
    assert [stretch.offset for stretch in stretches[1:]] == [stretch.end for stretch in stretches[:-1]]
