"""The server's side of a conversion: uploaded files in, layers out, a child process doing the work."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from models.create.convert.messages import (
    MAX_LINE_BYTES,
    WORKER,
    Failed,
    Finished,
    Job,
    Part,
    Written,
    decode_answer,
    encode_line,
)
from models.create.layers import NewLayer
from models.create.merge import NO_DIGEST
from models.create.request import Progress, is_relative_path
from models.errors import BlobMissing, CreateFailed
from models.library import Library
from registry.digest import Digest
from registry.errors import BlobNotFound, InvalidDigest
from registry.files import make_directories, open_temporary, translated
from registry.manifest import MediaType
from registry.store import Store

HEARTBEAT_S: Final = 5.0
"""How often a client hears of a conversion, at least; and how soon its leaving is noticed."""

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
    job = Job(_paths(store, files), name)
    layer, finished = yield from _converted(store, library, job, "converting model")
    if not finished.has_projector:
        return [layer]
    job = msgspec.structs.replace(job, part=Part.PROJECTOR)
    projector, _ = yield from _converted(store, library, job, "converting model")
    return [layer, projector]


def converted_adapter(
    store: Store, library: Library, files: Mapping[str, str], *, base: Path
) -> Generator[Progress, None, list[NewLayer]]:
    """The layer of an adapter from its safetensors files; `base` is the GGUF file of the model that it is for.

    Raises: as `converted_layers`.
    """
    job = Job(_paths(store, files), "adapter", Part.ADAPTER, base_path=str(base))
    layer, _ = yield from _converted(store, library, job, "converting adapter")
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
    store: Store, library: Library, job: Job, status: str
) -> Generator[Progress, None, tuple[NewLayer, Finished]]:
    """One file, converted into the store; closing the generator ends the child and leaves nothing behind."""
    yield Progress(status)
    make_directories(store.blobs.directory)
    with translated("open", store.blobs.directory):
        # Compat: registry-store-cli 2.1: under such a name it is cleared away if nobody is left to do it.
        descriptor, path = open_temporary(store.blobs.directory, "sha256-")
    try:
        finished = yield from _run(job, descriptor, status)
        digest = Digest(finished.sha256)
        is_new = store.blobs.adopt_verified(path, digest, finished.size_bytes)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    gguf = library.head(store.blobs.path(digest))
    note = f"{'creating new' if is_new else 'using existing'} layer {digest}"
    layer = NewLayer(
        KINDS[job.part], digest, finished.size_bytes, gguf=gguf, note=note, is_upload=True,
        # Compat: registry-store-cli 6.4: weights that were of eight bits become so again, unless another type is asked.
        quantize="Q8_0" if finished.had_eight_bits else "",
    )  # fmt: skip
    return layer, finished


def _run(job: Job, descriptor: int, status: str) -> Generator[Progress, None, Finished]:
    progress = Progress(status)
    with _child(job, descriptor) as stdout:
        for line in _lines(stdout):
            match decode_answer(line) if line else None:
                case Written(completed=completed, total=total):
                    progress = Progress(status, NO_DIGEST, total, completed)
                case Finished() as finished:
                    return finished
                case Failed(text=text):
                    raise CreateFailed(text)
                case None:
                    pass  # it is still at work
            yield progress
    raise CreateFailed("the conversion ended before its time")


@contextlib.contextmanager
def _child(job: Job, descriptor: int) -> Iterator[IO[bytes]]:
    """What the child says; it has ended when the block is left."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER, str(descriptor)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(descriptor,), bufsize=0,
        )  # fmt: skip
    except OSError as error:
        raise CreateFailed(f"the conversion cannot be started: {error}") from error
    assert process.stdin is not None and process.stdout is not None
    with process.stdout as stdout, process.stdin as stdin:
        try:
            with contextlib.suppress(BrokenPipeError):  # its end says why
                stdin.write(encode_line(job))
            yield stdout
        finally:
            process.kill()
            process.wait()


def _lines(stdout: IO[bytes]) -> Iterator[bytes]:
    """Lines as they come; an empty one when none has come for a while."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while len(rest) < MAX_LINE_BYTES:
            if not selector.select(HEARTBEAT_S):
                yield b""
                continue
            chunk = stdout.read(1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
