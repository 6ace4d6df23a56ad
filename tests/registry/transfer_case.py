"""A model of one layer, whose download is left and resumed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from registry.digest import Digest
from registry.names import ModelName
from registry.partial import Part
from tests.fakes.registry import FakeRegistry
from tests.registry.conftest import PART_BYTES, Site

WHOLE = random.Random(1).randbytes(12 * PART_BYTES + 345)
SMALL = WHOLE[:PART_BYTES]


def prepare(registry: FakeRegistry, content: bytes = WHOLE) -> ModelName:
    """A model of one layer: faults then are for that layer alone."""
    return registry.add_manifest("lib/m", [registry.layer("model", content)], config=None)


def ranges(registry: FakeRegistry) -> list[str]:
    return [request.headers["Range"] for request in registry.requests if "Range" in request.headers]


def assert_fetched(site: Site, content: bytes) -> None:
    digest = Digest.of(content)
    assert site.store.blobs.read_bytes(digest) == content
    assert site.blob_names() == [digest.file_name]


def partial(site: Site, content: bytes = WHOLE) -> Path:
    return site.store.blobs.directory / f"{Digest.of(content).file_name}-partial"


def leave_partial(site: Site, content: bytes, parts: Sequence[Part]) -> None:
    """What an interrupted download of the original left: its own spelling of the records, the data sparse."""
    path = partial(site, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(len(content))
    for part in parts:
        data[part.offset : part.position] = content[part.offset : part.position]
        record = (
            f'{{"N":{part.n},"Offset":{part.offset},"Size":{part.size_bytes},"Completed":{part.completed_bytes}}}\n'
        )
        path.with_name(f"{path.name}-{part.n}").write_text(record)
    path.write_bytes(data)
