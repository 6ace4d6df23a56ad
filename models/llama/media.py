"""Images and sounds: a projector turns them into embeddings that a model reads in place of tokens.

The projector has memory and computations of its own: what is prepared here needs no context, and disturbs none.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import LoadError, RefusedByEngine, UnusableOutput
from models.llama.binding import lib, load_media_library
from models.llama.logs import load_failure, native_log
from models.llama.model import Model

Tokens = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

MAX_PIXELS = 64_000_000
MAX_SOUND_BYTES = 64 * 1024 * 1024
CACHE_BYTES = 256 * 1024 * 1024
QWEN_VL = frozenset({"qwen2vl", "qwen25vl", "qwen3vl", "qwen3vlmoe"})
QWEN_VL_MIN_TOKENS = 1024
"""Compat: prompting 8.4: what Ollama has these read an image as, at least."""

UNREADABLE = "Failed to load image or audio file"
UNPLACED = "Failed to tokenize prompt"


class Media:
    """One piece of an image or a sound, encoded, as it stands in a prompt. `mark`: the same for the same content."""

    def __init__(self, library: Any, handle: Any, mark: int) -> None:
        """`handle` is a chunk, owned from here on."""
        self._library = library
        self.handle = handle
        self.mark = mark
        self.n_tokens = int(library.mtmd_input_chunk_get_n_tokens(handle))
        self.n_positions = int(library.mtmd_input_chunk_get_n_pos(handle))
        self.embeddings: Floats = np.empty(0, dtype=np.float32)
        """(n_tokens, n_embd) of the model's input, in one row."""

    def __del__(self) -> None:
        self._library.mtmd_input_chunk_free(self.handle)


class Projector:
    """A loaded projector; prepares prompts, one at a time."""

    def __init__(self, path: str, model: Model, *, n_threads: int, use_gpu: bool) -> None:
        """Raises: LoadError, OutOfMemory."""
        self._library = library = load_media_library()
        library.mtmd_log_set(native_log.callback, None)
        library.mtmd_helper_log_set(native_log.callback, None)
        params = library.mtmd_context_params_default()
        params.use_gpu = use_gpu
        params.print_timings = False
        params.n_threads = n_threads
        params.warmup = False
        if model.metadata("general.architecture") in QWEN_VL:
            params.image_min_tokens = QWEN_VL_MIN_TOKENS
        native_log.forget()
        self.handle = library.mtmd_init_from_file(path.encode("utf-8", "surrogateescape"), model.handle, params)
        if not self.handle:
            raise load_failure("unable to load the projector")
        self._n_embd = int(lib.llama_model_n_embd_inp(model.handle))
        self._encoded = _Recent(CACHE_BYTES)
        self._turn = threading.Lock()

    def prepare(self, parts: Sequence[str | bytes]) -> list[Tokens | Media]:
        """Text becomes tokens, files become media with what their kind wants around them; in the same order.

        Raises: RefusedByEngine for what is no image or sound, or of a kind that this projector does not read;
        UnusableOutput.
        """
        with self._turn, _Bitmaps(self._library, self.handle) as bitmaps:
            pieces = [part if isinstance(part, str) else bitmaps.read(part) for part in parts]
            found = self._tokenize(pieces)
            for piece in found:
                if isinstance(piece, Media):
                    self._encode(piece)
        return found

    def decode(self, context: Any, media: Media, seq_id: int, position: int, n_batch: int) -> int:
        """Have a context compute what was prepared, from a position on; returns llama_decode's code."""
        end = ctypes.c_int32()
        values = media.embeddings.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        return int(
            self._library.mtmd_helper_decode_image_chunk(
                self.handle, context, media.handle, values, position, seq_id, n_batch, ctypes.byref(end),
                self._library.mtmd_helper_post_decode_callback(), None,
            )
        )  # fmt: skip

    def close(self) -> None:
        """Free it; the model stays."""
        if self.handle:
            self._library.mtmd_free(self.handle)
            self.handle = None

    def _tokenize(self, pieces: Sequence[str | _Bitmap]) -> list[Tokens | Media]:
        library = self._library
        native, kept = _native_parts(library, pieces)
        chunks = library.mtmd_input_chunks_init()
        try:
            if library.mtmd_tokenize_from_parts(self.handle, chunks, native, len(pieces), True) != 0:
                raise RefusedByEngine.saying(UNPLACED)
            n = int(library.mtmd_input_chunks_size(chunks))
            marks = _Marks()
            return [self._piece(library.mtmd_input_chunks_get(chunks, i), marks) for i in range(n)]
        finally:
            library.mtmd_input_chunks_free(chunks)
            del kept

    def _piece(self, chunk: Any, marks: _Marks) -> Tokens | Media:
        library = self._library
        if library.mtmd_input_chunk_get_type(chunk) != library.MTMD_INPUT_CHUNK_TYPE_TEXT:
            identity = library.mtmd_input_chunk_get_id(chunk) or b""
            return Media(library, library.mtmd_input_chunk_copy(chunk), marks.next(identity))
        n = ctypes.c_size_t()
        tokens = library.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(n))
        return np.ctypeslib.as_array(tokens, (n.value,)).astype(np.int32) if n.value else np.empty(0, dtype=np.int32)

    def _encode(self, media: Media) -> None:
        known = self._encoded.get(media.mark)
        if known is not None and len(known) == media.n_tokens * self._n_embd:
            media.embeddings = known
            return
        if self._library.mtmd_encode_chunk(self.handle, media.handle) != 0:
            raise UnusableOutput("the projector could not read the image")
        size = media.n_tokens * self._n_embd
        output = self._library.mtmd_get_output_embd(self.handle)
        media.embeddings = np.ctypeslib.as_array(output, (size,)).copy()
        self._encoded.put(media.mark, media.embeddings)


class _Marks:
    """Numbers that stand for media among the tokens of a prompt: negative, and equal for equal content.

    A file may come in several pieces, which then differ by their place among those of the same name.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def next(self, name: bytes) -> int:
        """`name`: the file's digest."""
        index = self._seen[name] = self._seen.get(name, -1) + 1
        (number,) = struct.unpack("<i", hashlib.sha256(name + index.to_bytes(4, "big")).digest()[:4])
        return int(-2 - (number & 0x3FFFFFFF))


class _Recent:
    """Embeddings of what was read lately: a chat shows its images again with every turn."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._found: OrderedDict[int, Floats] = OrderedDict()

    def get(self, mark: int) -> Floats | None:
        found = self._found.get(mark)
        if found is not None:
            self._found.move_to_end(mark)
        return found

    def put(self, mark: int, values: Floats) -> None:
        self._size_bytes += values.nbytes - (old.nbytes if (old := self._found.pop(mark, None)) is not None else 0)
        self._found[mark] = values
        while self._size_bytes > self._limit_bytes:
            _, gone = self._found.popitem(last=False)
            self._size_bytes -= gone.nbytes


# --------------------------------------------------------------------------------------------------------------------
# What clients send


@dataclass(frozen=True, slots=True)
class _Bitmap:
    handle: Any


class _Bitmaps:
    """Decoded files; freed at the end."""

    def __init__(self, library: Any, projector: Any) -> None:
        self._library = library
        self._projector = projector
        self._handles: list[Any] = []

    def __enter__(self) -> _Bitmaps:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            self._library.mtmd_bitmap_free(handle)

    def read(self, content: bytes) -> _Bitmap:
        """Raises: RefusedByEngine."""
        library = self._library
        handle = self._sound(content) if is_sound(content) else self._image(content)
        if not handle:
            raise RefusedByEngine.saying(UNREADABLE)
        self._handles.append(handle)
        library.mtmd_bitmap_set_id(handle, hashlib.sha256(content).hexdigest().encode())
        return _Bitmap(handle)

    def _image(self, content: bytes) -> Any:
        if not self._library.mtmd_support_vision(self._projector):
            return None
        width, height, pixels = read_pixels(content)
        buffer = (ctypes.c_uint8 * len(pixels)).from_buffer_copy(pixels)
        return self._library.mtmd_bitmap_init(width, height, buffer)

    def _sound(self, content: bytes) -> Any:
        if len(content) > MAX_SOUND_BYTES or not self._library.mtmd_support_audio(self._projector):
            return None
        buffer = (ctypes.c_uint8 * len(content)).from_buffer_copy(content)
        return self._library.mtmd_helper_bitmap_init_from_buf(self._projector, buffer, len(content), False)


def is_sound(content: bytes) -> bool:
    """WAV or MP3. # Compat: prompting 8.1."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return True
    return content[:3] == b"ID3" or (len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0)


def read_pixels(content: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGB rows of an image file. Raises: RefusedByEngine.

    Native code sees the pixels only, never a file that a client sent.
    """
    from PIL import Image, UnidentifiedImageError  # here: most runners never see an image

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with (
            _warnings_as_errors(),
            Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "BMP", "WEBP")) as file,
        ):
            if file.width * file.height > MAX_PIXELS:
                raise RefusedByEngine.saying(UNREADABLE)
            image = file.convert("RGB")
            return image.width, image.height, image.tobytes()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise RefusedByEngine.saying(UNREADABLE) from error


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _native_parts(library: Any, pieces: Sequence[str | _Bitmap]) -> tuple[Any, list[Any]]:
    """The array that mtmd.h wants, and what must live as long as it is used."""
    kept: list[Any] = []
    array = (ctypes.POINTER(library.mtmd_input_part) * len(pieces))()
    for index, piece in enumerate(pieces):
        part = library.mtmd_input_part()
        if isinstance(piece, str):
            raw = piece.encode("utf-8", "replace")
            text = library.mtmd_input_text(raw, len(raw), True, True)
            part.text = ctypes.pointer(text)
            kept += [raw, text]
        else:
            part.bitmap = piece.handle
        kept.append(part)
        array[index] = ctypes.pointer(part)
    return array, kept


def load_projector(paths: Sequence[str], model: Model, *, n_threads: int, use_gpu: bool) -> Projector | None:
    """The model's projector, if it has one. Raises: LoadError."""
    if not paths:
        return None
    if len(paths) > 1:
        raise LoadError("a model with several projectors is not supported")
    return Projector(paths[0], model, n_threads=n_threads, use_gpu=use_gpu)
