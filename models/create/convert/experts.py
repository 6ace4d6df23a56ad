"""Experts: where a file has one tensor for each, the model's file has one for all."""

from __future__ import annotations

import re
from collections import defaultdict

from models.create.convert.tensors import Tensor, stacked
from models.errors import CreateFailed

_EXPERT = re.compile(r"(?P<before>.*\.experts)\.(?P<index>\d{1,6})\.(?P<after>.*)")


def collect_experts(tensors: dict[str, Tensor], n_experts: int) -> dict[str, Tensor]:
    """The tensors, those of experts stacked: `….experts.7.up.weight` and its like become `….experts.up.weight`.

    Raises: CreateFailed for experts that are missing.
    """
    found: dict[str, Tensor | None] = {}
    groups: defaultdict[str, dict[int, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        if match := _EXPERT.fullmatch(name):
            name = f"{match['before']}.{match['after']}"
            groups[name][int(match["index"])] = tensor
            found.setdefault(name, None)
        else:
            found[name] = tensor
    for name, experts in groups.items():
        found[name] = _stack(name, experts, n_experts)
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _stack(name: str, experts: dict[int, Tensor], n_experts: int) -> Tensor:
    n_wanted = n_experts or len(experts)
    if len(experts) != n_wanted or max(experts) != n_wanted - 1:
        raise CreateFailed(f"{name}: {len(experts)} experts of {n_wanted}")
    return stacked([experts[index] for index in range(n_wanted)])
