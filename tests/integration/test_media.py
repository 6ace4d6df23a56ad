"""Images through a real projector; what clients send as such is decoded before native code sees it."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import BadRequest
from models.llama.binding import start_backends
from models.llama.logs import native_log
from models.llama.media import Media, Projector, is_sound, read_pixels
from models.llama.model import Model

pytestmark = pytest.mark.model

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def image(kind: str, size: tuple[int, int] = (4, 3), colour: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def projector(tiny_model: Callable[[str], Path]) -> Iterator[Projector]:
    native_log.install()
    start_backends()
    model = Model(str(tiny_model("agent")), n_gpu_layers=0)
    projector = Projector(str(tiny_model("eye")), model, n_threads=1, use_gpu=False)
    yield projector
    projector.close()
    model.close()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "JPEG"])
def test_the_usual_kinds_of_image_are_read(kind: str) -> None:
    width, height, pixels = read_pixels(image(kind))
    assert (width, height, len(pixels)) == (4, 3, 36)
    assert pixels[0] > 200 and pixels[1] < 50 and pixels[2] < 50


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        DOT[:30],
        b"P6 1 1 255\n\0\0\0",
        png_that_claims(60_000, 60_000),
        png_that_claims(2**31 - 1, 1),
        b"II*\0",
    ],
)
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest, match="Failed to load image or audio file"):
        read_pixels(content)


def test_an_image_becomes_media_between_the_tokens(projector: Projector) -> None:
    before, media, after = projector.prepare(["look", DOT, " here"])
    assert isinstance(before, np.ndarray) and isinstance(after, np.ndarray) and isinstance(media, Media)
    assert media.mark < -1 and media.n_tokens == media.n_positions > 0
    assert media.embeddings.shape == (media.n_tokens * 256,) and np.isfinite(media.embeddings).all()


def test_the_same_image_has_the_same_mark_and_another_one_another(projector: Projector) -> None:
    marks = []
    for content in (DOT, DOT, image("PNG")):
        (found,) = [piece for piece in projector.prepare(["a", content, "b"]) if isinstance(piece, Media)]
        marks.append(found.mark)
    assert marks[0] == marks[1] != marks[2]


def test_two_images_in_one_prompt_are_two_media(projector: Projector) -> None:
    found = [p for p in projector.prepare(["a", DOT, "b", image("PNG"), "c"]) if isinstance(p, Media)]
    assert len(found) == 2 and found[0].mark != found[1].mark


def test_a_sound_is_refused_by_a_projector_that_only_sees(projector: Projector) -> None:
    wave = b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)
    assert is_sound(wave) and is_sound(b"ID3\3") and is_sound(b"\xff\xfb\x90") and not is_sound(DOT)
    with pytest.raises(BadRequest, match="Failed to load image or audio file"):
        projector.prepare(["a", wave, "b"])
