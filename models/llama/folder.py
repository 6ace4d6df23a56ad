"""Where llama.cpp's libraries lie, found without loading them; Puna's own lie beside them."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def library_folder() -> Path | None:
    """The folder; None where llama-cpp-python is not installed."""
    package = importlib.util.find_spec("llama_cpp")
    places = package.submodule_search_locations if package is not None else None
    return Path(next(iter(places))) / "lib" if places else None
