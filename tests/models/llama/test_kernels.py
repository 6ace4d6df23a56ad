"""Whether Puna's kernels are in the llama.cpp that is installed: else the tests of each try llama.cpp's own."""

from __future__ import annotations

import sys
from pathlib import Path

from models.llama.folder import library_folder

BUILT = Path(sys.prefix) / "puna-build"
"""What tools/setup.sh compiled."""


def test_kernels_are_there_where_the_set_up_compiled_them() -> None:
    folder = library_folder()
    assert folder is not None
    is_set_up = BUILT.exists() and " kernels=" in BUILT.read_text("utf-8")
    backends = b"".join(path.read_bytes() for path in folder.glob("libggml-cpu*"))
    for name in (b"llama_cpp_flash_attn_ext", b"llama_cpp_mul_mat_tiled"):
        assert (name in backends) is is_set_up, name
    assert bool(list(folder.glob("libpuna_sampling.*"))) is is_set_up
