"""Whether llama.cpp copies weights into a layout of its own as it loads them, which it calls repacking.

A copy is no file that is mapped: it takes memory, and time at every load. On x86-64 Puna's kernels multiply Q4_K
weights as they lie in the file two to three times as fast as llama.cpp does after repacking, and one token about as
fast (docs/benchmarks.md).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from models.errors import InvalidGGUF
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF
from models.llama.binding import lib

Q4_K = 12
_REPACKED = frozenset({2, 10, Q4_K, 20, 39})
"""What llama.cpp repacks on x86-64: Q4_0, Q2_K, Q4_K, IQ4_NL, MXFP4 (ggml_repack_get_optimal_repack_type)."""
_KERNELS = "libpuna_sampling.*"
"""Compiled together with the kernels, beside llama.cpp's libraries (models/llama/kernels/kernels.cmake)."""


def should_repack(path: Path) -> bool:
    """`path`: of a GGUF file; one that cannot be read is llama.cpp's to refuse."""
    if not _has_kernels():
        return True
    try:
        return is_faster_repacked(read_gguf(path))
    except (OSError, InvalidGGUF):
        return True


def is_faster_repacked(gguf: GGUF) -> bool:
    """Whether it is, where there are kernels: not if Q4_K is most of what would be repacked.

    Experts' matrices have three dimensions, which the kernels leave to llama.cpp.
    """
    sizes: Counter[int] = Counter()
    for tensor in gguf.tensors or ():
        if len(tensor.shape) > 2:
            return True
        if tensor.type in _REPACKED:
            sizes[tensor.type] += tensor.size_bytes
    return 2 * sizes[Q4_K] <= sizes.total()


def _has_kernels() -> bool:
    """Whether they were compiled, and the processor has what they are written with; AMX is faster still."""
    folder = Path(lib._lib._name).parent
    features = lib.llama_print_system_info().decode()
    has_vectors = all(f"{name} = 1" in features for name in ("AVX2", "FMA", "F16C"))
    return has_vectors and "AMX_INT8 = 1" not in features and any(folder.glob(_KERNELS))
