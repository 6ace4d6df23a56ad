from __future__ import annotations

import pytest

from registry.digest import Digest
from registry.prune import BlobFile, plan_prune, plan_removal

A, B = Digest.of(b"a"), Digest.of(b"b")
CUT = 1000
OLD, YOUNG = CUT - 1, CUT


@pytest.mark.parametrize(
    ("file", "goes"),
    [
        (BlobFile(A.file_name, OLD), False),
        (BlobFile(A.file_name, YOUNG), False),
        (BlobFile(f"sha256-{A.hex.upper()}", OLD), False),
        (BlobFile(B.file_name, OLD), True),
        (BlobFile(B.file_name, YOUNG), False),
        (BlobFile("sha256-1234567890", OLD), True),
        (BlobFile("sha256-1234567890", YOUNG), False),
        (BlobFile(f"{A.file_name}-partial", OLD), True),
        (BlobFile(f"{A.file_name}-partial-3", OLD), True),
        (BlobFile(f"{A.file_name}.tmp", OLD), True),
        (BlobFile("notes.txt", OLD), True),
        (BlobFile("notes.txt", YOUNG), False),
    ],
)
def test_what_is_old_and_unreferenced_goes(file: BlobFile, goes: bool) -> None:
    assert plan_prune([file], {A}, before_ns=CUT) == ([file.name] if goes else [])


def test_the_state_of_a_download_stays_as_long_as_its_data() -> None:
    ended = [BlobFile(f"{A.file_name}-partial{part}", OLD) for part in ("", "-0", "-1")]
    running = [
        BlobFile(f"{B.file_name}-partial-0", OLD),
        BlobFile(f"{B.file_name}-partial", YOUNG),
        BlobFile(f"{B.file_name}-partial-15", OLD),
    ]
    assert plan_prune(ended + running, (), before_ns=CUT) == [file.name for file in ended]


def test_what_another_model_has_is_not_removed_with_this_one() -> None:
    assert plan_removal([A, B, A], {B}) == [A]
    assert plan_removal([A, B], ()) == [A, B]
    assert plan_removal([A], {Digest(A.hex.upper())}) == []
