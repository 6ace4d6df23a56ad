"""Layers of a model in the making: blobs that are in the store, and content that will be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from models.errors import BlobMissing
from models.gguf.values import GGUF
from registry.digest import Digest
from registry.errors import BlobNotFound
from registry.manifest import Layer, MediaType
from registry.store import Store


@dataclass(frozen=True, slots=True)
class NewLayer:
    """One layer: the content to write, or the digest of what is there with its size.

    `gguf` is what the blob says of itself; `note` stands in for the usual progress text; `is_upload` marks a file of
    this request, whose bytes nobody has looked at yet.
    """

    kind: str
    content: bytes | Digest
    size_bytes: int
    from_name: str = ""
    name: str = ""
    gguf: GGUF | None = None
    note: str = ""
    is_upload: bool = False
    quantize: str = ""
    """The type that the weights get if the request asks for none."""

    @classmethod
    def of_text(cls, kind: MediaType, content: bytes, note: str = "") -> NewLayer:
        return cls(kind, content, len(content), note=note)

    @classmethod
    def inherited(cls, layer: Layer, from_name: str, gguf: GGUF | None) -> NewLayer:
        return cls(layer.kind, layer.digest, layer.size_bytes, from_name, layer.name, gguf)

    def renamed(self, from_name: str) -> NewLayer:
        return replace(self, from_name=from_name)


def without(layers: Iterable[NewLayer], kind: MediaType) -> list[NewLayer]:
    """The layers of all other kinds."""
    return [layer for layer in layers if layer.kind != kind]


def read_blob(store: Store, digest: Digest) -> bytes:
    """The content of a small blob. Raises: BlobMissing, BlobTooLarge, StoreUnusable."""
    try:
        return store.blobs.read_bytes(digest)
    except BlobNotFound as error:
        raise BlobMissing(store.blobs.path(digest)) from error


def store_layer(store: Store, layer: NewLayer) -> tuple[Layer, str]:
    """Make the layer's blob safe in the store; the progress text says whether it was there.

    Raises: BlobMissing, StoreUnusable.
    """
    if isinstance(layer.content, Digest):
        digest, is_new = layer.content, False
        try:
            store.blobs.touch(digest)
        except BlobNotFound as error:
            raise BlobMissing(store.blobs.path(digest)) from error
    else:
        digest, is_new = store.blobs.put_bytes(layer.content)
    text = layer.note or f"{'creating new' if is_new else 'using existing'} layer {digest}"
    return Layer(layer.kind, digest, layer.size_bytes, layer.from_name, layer.name), text
