"""What a converted file will have: every key and every tensor, before anything is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.create.convert.adapter import Adapter
from models.create.convert.architectures.base import Architecture
from models.create.convert.architectures.table import architecture_of, find_projector
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.eight_bits import add_source
from models.create.convert.general import add_general
from models.create.convert.keys import Keys
from models.create.convert.numbers import BF16, F16, F32, MXFP4, Kind
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed
from models.gguf.reader import read_gguf

FILE_TYPES: Final = {F32: 0, F16: 1, BF16: 32}
"""`general.file_type` by the type of most tensors."""

MXFP4_FILE: Final = 38
QUANTIZATION_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor of the file: its name there and its type."""

    name: str
    kind: Kind
    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """In elements, outermost first; a tensor of no dimensions has one element."""
        shape = self.tensor.shape or (1,)
        return (*shape[:-1], shape[-1] // 17 * 32) if self.kind == MXFP4 else shape


@dataclass(frozen=True, slots=True)
class Plan:
    """A file in the making."""

    keys: Keys
    tensors: Sequence[PlannedTensor]


def plan_model(files: Checkpoint) -> Plan:
    """The file that a model becomes. Raises: CreateFailed."""
    architecture = architecture_of(files)
    main = usual_type(architecture)
    tensors = planned(architecture, main)
    keys = Keys(architecture.name)
    add_general(keys, files, ((t.name, t.shape) for t in tensors))
    architecture.add_parameters(keys)
    add_source(keys, ((t.name, t.tensor) for t in tensors))
    has_four_bits = any(tensor.kind == MXFP4 for tensor in tensors)
    keys.uint32("general.file_type", MXFP4_FILE if has_four_bits else FILE_TYPES[main])
    keys.uint32("general.quantization_version", QUANTIZATION_VERSION)
    architecture.add_vocabulary(keys)
    return Plan(keys, tensors)


def has_projector(files: Checkpoint) -> bool:
    """Whether a model also sees or hears. Raises: CreateFailed."""
    return find_projector(files) is not None


def plan_projector(files: Checkpoint) -> Plan:
    """The file of what sees or hears. Raises: CreateFailed."""
    projector = find_projector(files)
    if projector is None:
        raise CreateFailed("the model neither sees nor hears")
    main = usual_type(projector)
    tensors = planned(projector, main)
    keys = Keys(projector.name)
    add_general(keys, files, ((t.name, t.shape) for t in tensors), "mmproj")
    projector.add_parameters(keys)
    keys.uint32("general.file_type", FILE_TYPES[main])
    keys.uint32("general.quantization_version", QUANTIZATION_VERSION)
    return Plan(keys, tensors)


def plan_adapter(files: Checkpoint, base: Path) -> Plan:
    """The file that an adapter becomes; `base`: the GGUF file of the model that it is for. Raises: CreateFailed."""
    adapter = Adapter(files, read_gguf(base))
    tensors = [PlannedTensor(name, F32, tensor) for name, tensor in adapter.converted()]
    _check_names(tensors)
    keys = Keys(adapter.base.architecture)
    add_general(keys, files, adapter.full_shapes(), "adapter")
    adapter.add_parameters(keys)
    keys.uint32("general.quantization_version", QUANTIZATION_VERSION)
    return Plan(keys, tensors)


def usual_type(architecture: Architecture) -> Kind:
    """The type of the first matrix that has one of 16 bits.

    # Compat: the rule is upstream's (`--outtype auto`); registry-store-cli 6.6 goes by each tensor.
    """
    for name, stored in architecture.files.stored_tensors().items():
        is_kept = architecture.renamed(name) is not None
        if is_kept and len(stored.shape) > 1 and stored.kind in (BF16, F16):
            return stored.kind
    return F16


def planned(architecture: Architecture, main: Kind) -> list[PlannedTensor]:
    """The tensors with their types. Raises: CreateFailed."""
    found: list[PlannedTensor] = []
    for named, source, tensor in architecture.converted():
        kind = architecture.kind_of(source, named, tensor, main)
        found.append(PlannedTensor(named.name, kind, tensor))
    _check_names(found)
    return found


def _check_names(tensors: Iterable[PlannedTensor]) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise CreateFailed(f"duplicate tensor name '{tensor.name}' was found for this model")
        seen.add(tensor.name)
