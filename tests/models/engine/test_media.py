"""Images in prompts: computed in one piece, recognised when they come again, never cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from models.engine.context_end import ContextRules
from models.engine.media import Media, PlacedMedia, Tokens, lay_out, whole
from models.engine.prepare import NO_PROJECTOR, Preparer
from models.errors import BadRequest, Unsupported
from models.runner.lanes import run_through
from models.runner.messages import Generate, MixedPrompt, Reason
from models.runner.settings import Sampling
from tests.fakes.context import ByteVocabulary, FakeContext, counts, hashes, says
from tests.models.engine.engine_case import EngineCase


@dataclass(frozen=True)
class Picture:
    """`n_tokens` may be more than the positions, as with models that count these in two dimensions."""

    mark: int
    n_positions: int = 6
    n_tokens: int = 9


def read(parts: Sequence[str | bytes]) -> list[Tokens | Media]:
    """A picture whose mark is its content's first byte."""
    vocabulary = ByteVocabulary()
    return [
        vocabulary.tokenize(part, add_special=False) if isinstance(part, str) else Picture(-2 - part[0])
        for part in parts
    ]


def case(**fields: object) -> EngineCase:
    made = EngineCase(**{"model": says("a picture"), **fields})  # type: ignore[arg-type]
    rules = ContextRules(n_ctx=made.n_ctx, n_ctx_seq=made.n_ctx, shift=made.shift, adds_bos=False)
    made.preparer = Preparer(made.vocabulary, rules, read_media=read)
    return made


def mixed(*parts: str | bytes) -> MixedPrompt:
    """Text, file, text, …"""
    return MixedPrompt(tuple(p for p in parts if isinstance(p, str)), tuple(p for p in parts if isinstance(p, bytes)))


def test_media_take_their_positions_among_the_tokens() -> None:
    picture = Picture(-5, n_positions=3)
    tokens, placed = lay_out([np.array([1, 2], dtype=np.int32), picture, np.array([3], dtype=np.int32)])
    assert tokens.tolist() == [1, 2, -5, -5, -5, 3]
    assert placed == (PlacedMedia(2, picture),) and placed[0].end == 5


@pytest.mark.parametrize(("n", "kept"), [(0, 0), (2, 2), (3, 2), (4, 2), (5, 5), (6, 6)])
def test_a_prefix_never_ends_within_an_image(n: int, kept: int) -> None:
    assert whole(n, (PlacedMedia(2, Picture(-5, n_positions=3)),)) == kept


def test_a_prompt_with_images_is_computed_and_counted() -> None:
    made = case()
    made.submit(1, "", mixed=mixed("look", b"A", " and ", b"B", " here:"))
    made.run()
    assert made.text(1) == "a picture"
    assert made.finished(1).n_prompt == len("look and  here:") + 2 * 9
    assert [sum(step.values()) for step in made.fake.steps[:5]] == [4, 6, 5, 6, 6] or 6 in [
        n for step in made.fake.steps for n in step.values()
    ]


def test_the_state_depends_on_the_image_and_its_place() -> None:
    """`hashes` answers by everything that the cells hold."""
    texts = []
    for prompt in (mixed("x", b"A", "y:"), mixed("x", b"B", "y:"), mixed("xy", b"A", ":")):
        made = case(model=hashes)
        made.submit(1, "", mixed=prompt, n_predict=5)
        made.run()
        texts.append(made.text(1))
    assert len(set(texts)) == 3


def test_an_image_that_is_shown_again_is_not_computed_again() -> None:
    made = case(model=hashes)
    made.submit(1, "", mixed=mixed("look", b"A", " one:"), n_predict=3)
    made.run()
    n_steps = len(made.fake.steps)
    made.submit(2, "", mixed=mixed("look", b"A", " two:"), n_predict=3)
    made.run()
    assert made.finished(2).n_cached == len("look") + 6 + 1
    assert all(n < 6 for step in made.fake.steps[n_steps:] for n in step.values())
    alone = case(model=hashes)
    alone.submit(1, "", mixed=mixed("look", b"A", " two:"), n_predict=3)
    alone.run()
    assert made.text(2) == alone.text(1)


def test_others_go_on_while_images_are_computed() -> None:
    made = case(model=counts)
    made.submit(1, "a", n_predict=40)
    made.step(3)
    made.submit(2, "", mixed=mixed("", b"A", "", b"B", "", b"C", "z"), n_predict=2)
    before = len(made.text(1))
    made.step(3)
    assert len(made.text(1)) == before + 3
    made.run()
    assert (made.finished(1).n_generated, made.finished(2).n_generated) == (40, 2)


def test_a_context_with_images_does_not_shift() -> None:
    made = case(model=counts, n_ctx=32)
    made.submit(1, "", mixed=mixed("look", b"A", " here:a"))
    made.run()
    assert made.finished(1).reason is Reason.CONTEXT


def test_without_room_the_request_waits_for_the_others_or_fails() -> None:
    made = case(model=counts, n_slots=2, n_ctx=64, context=FakeContext(counts, n_cells=40, n_seq_max=2))
    made.submit(1, "a" * 20, n_predict=15)
    made.step(2)
    made.submit(2, "", mixed=mixed("a", b"A", "b"), n_predict=3)
    made.run()
    assert (made.finished(1).n_generated, made.finished(2).n_generated) == (15, 3)


def test_images_without_a_projector_are_refused() -> None:
    made = EngineCase(says("no"))
    with pytest.raises(Unsupported, match=NO_PROJECTOR):
        run_through(made.preparer.prepare(Generate(1, "", Sampling(), mixed=mixed("", b"A", "?"))))


def test_a_prompt_that_ends_with_an_image_is_refused() -> None:
    with pytest.raises(BadRequest, match="cannot end with an image"):
        run_through(case().preparer.prepare(Generate(1, "", Sampling(), mixed=mixed("look", b"A", ""))))
