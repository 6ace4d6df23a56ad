"""The server's side of a conversion: uploaded files in, layers out, a child process doing the work."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from models.create.layers import NewLayer
from models.create.messages import CONVERTER, Converted, ConvertJob, Part
from models.create.parent import run_child
from models.create.request import Progress, is_relative_path
from models.errors import BlobMissing, CreateFailed
from models.library import Library
from registry.digest import Digest
from registry.errors import BlobNotFound, InvalidDigest
from registry.files import make_directories, open_temporary, translated
from registry.manifest import MediaType
from registry.store import Store

HEARTBEAT_S: Final = 5.0

KINDS: Final = {
    Part.MODEL: MediaType.MODEL,
    Part.PROJECTOR: MediaType.PROJECTOR,
    Part.ADAPTER: MediaType.ADAPTER,
}


def converted_layers(
    store: Store, library: Library, files: Mapping[str, str], name: str
) -> Generator[Progress, None, list[NewLayer]]:
    """The layers of a model from its safetensors files: the model, and what sees or hears if there is such.

    `files` maps names to digests; `name` is what the model will be called.
    Raises: CreateFailed, BlobMissing, InvalidGGUF, StoreUnusable.
    # Compat: registry-store-cli 6.6.
    """
    paths = _paths(store, files)
    layer, found = yield from _converted(store, library, paths, Part.MODEL, name)
    if not found.has_projector:
        return [layer]
    projector, _ = yield from _converted(store, library, paths, Part.PROJECTOR, name)
    return [layer, projector]


def converted_adapter(
    store: Store, library: Library, files: Mapping[str, str], *, base: Path
) -> Generator[Progress, None, list[NewLayer]]:
    """The layer of an adapter from its safetensors files; `base` is the GGUF file of the model that it is for.

    Raises: as `converted_layers`.
    """
    layer, _ = yield from _converted(store, library, _paths(store, files), Part.ADAPTER, "adapter", str(base))
    return [layer]


def _paths(store: Store, files: Mapping[str, str]) -> dict[str, str]:
    """Where the files are; from here on the lease of the creation holds them."""
    found: dict[str, str] = {}
    for name, text in files.items():
        if not is_relative_path(name):
            raise CreateFailed("file path must be relative")
        try:
            digest = Digest.parse(text)
            store.blobs.touch(digest)
        except InvalidDigest as error:
            raise CreateFailed(str(error)) from error
        except BlobNotFound as error:
            raise BlobMissing(store.blobs.path(Digest.parse(text))) from error
        found[name] = str(store.blobs.path(digest))
    return found


def _converted(
    store: Store, library: Library, paths: dict[str, str], part: Part, name: str, base_path: str = ""
) -> Generator[Progress, None, tuple[NewLayer, Converted]]:
    """One file, converted into the store; closing the generator ends the child and leaves nothing behind."""
    start = Progress(f"converting {'adapter' if part is Part.ADAPTER else 'model'}")
    yield start
    make_directories(store.blobs.directory)
    with translated("open", store.blobs.directory):
        # Compat: registry-store-cli 2.1: under such a name it is cleared away if nobody is left to do it.
        descriptor, path = open_temporary(store.blobs.directory, "sha256-")
    try:
        job = ConvertJob(paths, name, descriptor, part, base_path)
        found = yield from run_child(
            CONVERTER, job, Converted, start, heartbeat_s=HEARTBEAT_S, descriptors=(descriptor,)
        )
        digest = Digest(found.sha256)
        is_new = store.blobs.adopt_verified(path, digest, found.size_bytes)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    layer = NewLayer(
        KINDS[part], digest, found.size_bytes, gguf=library.head(store.blobs.path(digest)), is_upload=True,
        note=f"{'creating new' if is_new else 'using existing'} layer {digest}",
        # Compat: registry-store-cli 6.4: what was 8-bit floats gets eight bits again, unless another type is asked.
        quantize="Q8_0" if found.had_eight_bits else "",
    )  # fmt: skip
    return layer, found
