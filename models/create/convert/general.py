"""The keys that say what a model is called, how large it is, how to sample from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from gguf import Metadata, size_label

from models.create.convert.checkpoint import CONFIG, Checkpoint
from models.create.convert.keys import Keys

SAMPLING: Final[tuple[tuple[str, tuple[str, ...], type], ...]] = (
    ("top_k", ("top_k",), int),
    ("top_p", ("top_p",), float),
    ("min_p", ("min_p",), float),
    ("xtc_probability", ("xtc_probability",), float),
    ("xtc_threshold", ("xtc_threshold",), float),
    ("temp", ("temperature",), float),
    ("penalty_last_n", ("penalty_last_n",), int),
    ("penalty_repeat", ("penalty_repeat", "repetition_penalty"), float),
    ("mirostat", ("mirostat",), int),
    ("mirostat_tau", ("mirostat_tau",), float),
    ("mirostat_eta", ("mirostat_eta",), float),
)
"""Keys below `general.sampling.`, the names in `generation_config.json`, the type."""

NAMED: Final = ("author", "version", "organization", "finetune", "basename")


Shapes = Iterable[tuple[str, tuple[int, ...]]]


def add_general(keys: Keys, files: Checkpoint, shapes: Shapes, kind: str = "model") -> None:
    """`shapes`: every tensor by its name in the file."""
    total, shared, experts, n_experts = count_parameters(shapes)
    total = -total if kind == "adapter" else total  # to the heuristic: it is not all of the model
    config = files.config.members if files.has(CONFIG) else {}
    found = Metadata.apply_metadata_heuristic(Metadata(), {}, dict(config), Path(files.name), total)
    keys.text("general.type", kind)
    _add_sampling(keys, files.json("generation_config.json") or {})
    keys.text("general.name", found.name or files.name)
    for name in NAMED:
        if value := getattr(found, name):
            keys.text(f"general.{name}", value)
    label = found.size_label or (size_label(total, shared, experts, n_experts) if total > 0 else "")
    if label:
        keys.text("general.size_label", label)


def _add_sampling(keys: Keys, generation: Mapping[str, Any]) -> None:
    for key, names, kind in SAMPLING:
        value = next((generation[name] for name in names if generation.get(name) is not None), None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if kind is float:
            keys.float32(f"general.sampling.{key}", float(value))
        elif value == int(value):
            keys.int32(f"general.sampling.{key}", int(value))


def count_parameters(shapes: Shapes) -> tuple[int, int, int, int]:
    """Parameters in all, outside of experts, of one expert, and how many experts there are."""
    total = shared = experts = n_experts = n_tensors = 0
    for name, shape in shapes:
        n_elements = 1
        for n in shape:
            n_elements *= n
        total += n_elements
        if "_exps." in name and len(shape) > 2:
            experts += n_elements // max(shape[-3], 1)
            n_experts += shape[-3]
            n_tensors += 1
        else:
            shared += n_elements
    return total, shared, experts, n_experts // n_tensors if n_tensors else 0
