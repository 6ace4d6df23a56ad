"""Images go where their marks stand."""

from __future__ import annotations

import pytest

from models.errors import RefusedByEngine
from models.runner.messages import MixedPrompt
from server.media import at_markers, at_tags

A, B = b"first", b"second"


@pytest.mark.parametrize(
    ("text", "media", "texts", "files"),
    [
        ("[img-0]what?", (A,), ("", "what?"), (A,)),
        ("one [img-0] two [img-1]", (A, B), ("one ", " two ", ""), (A, B)),
        ("[img-1]one [img-0]", (A, B), ("", "one ", ""), (B, A)),
        ("[img-0] [img-0]", (A,), ("", " [img-0]"), (A,)),
        ("[img-0][img-1]", (A, B), ("", "", ""), (A, B)),
        ("[img-1] [img-10] [img-0]", (A, B), ("", " [img-10] ", ""), (B, A)),
    ],
)
def test_a_tag_says_which_image_stands_there(
    text: str, media: tuple[bytes, ...], texts: tuple[str, ...], files: tuple[bytes, ...]
) -> None:
    assert at_tags(text, media) == MixedPrompt(texts, files)


@pytest.mark.parametrize("text", ["what?", "[img-1]", "[img]", "[img-00]"])
def test_an_image_without_a_place_is_refused_in_the_engines_words(text: str) -> None:
    with pytest.raises(RefusedByEngine, match="Failed to tokenize prompt"):
        at_tags(text, (A,))


def test_markers_take_the_images_in_order() -> None:
    assert at_markers("a<m><m>b", (A, B), "<m>") == MixedPrompt(("a", "", "b"), (A, B))


@pytest.mark.parametrize("text", ["", "<m>", "<m><m><m>"])
def test_markers_and_images_must_be_as_many(text: str) -> None:
    with pytest.raises(RefusedByEngine, match="Failed to tokenize prompt"):
        at_markers(text, (A, B), "<m>")
