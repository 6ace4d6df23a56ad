"""Models that were uploaded in several files: which belong together, and whether all are there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from models.create.layers import NewLayer
from models.errors import CreateFailed
from models.gguf.values import GGUF

_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf")


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a model in several: `index` counts from 0."""

    layer: NewLayer
    file_name: str
    prefix: str
    index: int
    count: int


def shard_of(file_name: str, layer: NewLayer) -> Shard | None:
    """The place of a file among its shards; None for a file that is whole.

    Raises: CreateFailed when its name and its metadata disagree.
    # Compat: registry-store-cli 6.3, split GGUF.
    """
    assert layer.gguf is not None, "an upload has been read"
    count = _split_number(layer.gguf, "count")
    if count is None or count <= 1:
        return None
    title = f'split GGUF "{file_name}"'
    name = _NAME.fullmatch(file_name)
    if name is None:
        raise CreateFailed(f"{title} must use llama.cpp split filename pattern")
    if int(name["count"]) != count:
        raise CreateFailed(f"{title} filename count {int(name['count'])} does not match metadata count {count}")
    index = _split_number(layer.gguf, "no")
    if index is None:
        raise CreateFailed(f"{title} is missing split.no metadata")
    if int(name["number"]) - 1 != index:
        raise CreateFailed(f"{title} filename index {int(name['number']) - 1} does not match metadata index {index}")
    return Shard(layer, file_name, name["prefix"], index, count)


def _split_number(gguf: GGUF, key: str) -> int | None:
    """`split.count` or `split.no`, as it stands or with the architecture's prefix, an integer of any width."""
    for full in (f"split.{key}", gguf.full_key(f"split.{key}")):
        value = gguf.metadata.get(full)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def group_shards(shards: Iterable[Shard]) -> list[list[Shard]]:
    """The shards of each model, in their order, complete. Raises: CreateFailed."""
    groups: defaultdict[tuple[str, str, int], list[Shard]] = defaultdict(list)
    for shard in shards:
        groups[shard.layer.kind, shard.prefix, shard.count].append(shard)
    for group in groups.values():
        _check_group(group)
    return [sorted(group, key=lambda shard: shard.index) for group in groups.values()]


def _check_group(group: list[Shard]) -> None:
    first, indices = group[0], {shard.index for shard in group}
    title = f'split GGUF "{first.prefix}"'
    if len(group) != first.count:
        raise CreateFailed(f"{title} has {len(group)} shards, expected {first.count}")
    for shard in group:
        if not 0 <= shard.index < shard.count:
            raise CreateFailed(f'split GGUF "{shard.file_name}" has invalid shard index {shard.index}')
    if len(indices) < len(group):
        repeated = next(i for i in sorted(indices) if sum(shard.index == i for shard in group) > 1)
        raise CreateFailed(f"split GGUF has duplicate shard index {repeated}")
