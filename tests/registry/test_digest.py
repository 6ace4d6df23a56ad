from __future__ import annotations

import pytest

from registry.digest import Digest
from registry.errors import InvalidDigest

HEX = "2af71558e438db0b73a20beab92dc278a94e1bbe974c00c1a33e3ab62d53a608"


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256-{HEX}"])
def test_both_spellings_are_one_digest(text: str) -> None:
    digest = Digest.parse(text)
    assert digest == Digest.of(b"Apache-2.0")
    assert str(digest) == f"sha256:{HEX}"
    assert digest.file_name == f"sha256-{HEX}"
    assert digest.short == "2af71558e438"


def test_the_case_of_hex_digits_is_kept() -> None:
    assert Digest.parse(f"sha256:{HEX.upper()}").file_name == f"sha256-{HEX.upper()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX}\n",
        f" sha256:{HEX}",
        f"SHA256:{HEX}",
        f"sha256_{HEX}",
        f"sha256:{HEX[:-1]}g",
        f"sha512:{HEX}",
        "sha256:../../../../../../../../../../../../../../../../../etc/passwd",
        f"sha256:../{HEX[3:]}",
        "sha256:" + "\u0660" * 64,
    ],
)
def test_nothing_else_is_a_digest(text: str) -> None:
    with pytest.raises(InvalidDigest, match=r"^invalid digest format$"):
        Digest.parse(text)
