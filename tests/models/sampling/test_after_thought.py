"""A constraint that waits for a thought to end, over a vocabulary of letters and a constraint that wants an "x"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.runner.settings import Thought
from models.sampling.after_thought import AfterThought
from models.sampling.pieces import Pieces

PIECES = [b"<", b"t", b">", b"</", b"<t>", b"</t>", b" ", b"x", b"y", b"", b"</t>\n", b"<t>y", b"y</t>x", b">y", b">\n"]
ID = {piece: token for token, piece in enumerate(PIECES)}


class Spelled:
    """The vocabulary."""

    n_tokens = len(PIECES)

    def raw_piece(self, token: int) -> bytes:
        return PIECES[token]


class WantsX:
    """Allows "x", once."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    @property
    def is_complete(self) -> bool:
        return bool(self.accepted)

    def allows(self, token: int) -> bool:
        return PIECES[token] == b"x"

    def allowed(self) -> npt.NDArray[np.intp]:
        return np.array([ID[b"x"]])

    def accept(self, token: int) -> None:
        self.accepted.append(token)

    def forced(self) -> list[int]:
        return [] if self.accepted else [ID[b"x"]]


def after(*, is_open: bool = False) -> tuple[AfterThought, WantsX]:
    inner = WantsX()
    return AfterThought(inner, Thought("<t>", "</t>", is_open), len(PIECES), Pieces(Spelled())), inner


def feed(constraint: AfterThought, *pieces: bytes) -> None:
    for piece in pieces:
        assert constraint.allows(ID[piece]), piece
        constraint.accept(ID[piece])


@pytest.mark.parametrize(
    "thought",
    [(b"<t>", b"</t>"), (b"<", b"t", b">", b"y", b"</", b"t", b">"), (b" ", b"<t>y", b"y", b" ", b"</t>\n")],
)
def test_a_thought_is_free_and_the_text_after_it_is_not(thought: tuple[bytes, ...]) -> None:
    constraint, inner = after()
    feed(constraint, *thought)
    assert not constraint.is_complete
    assert not constraint.allows(ID[b"y"])
    feed(constraint, b"x")
    assert inner.accepted == [ID[b"x"]]
    assert constraint.is_complete


def test_without_a_thought_the_text_is_constrained_from_its_first_token() -> None:
    constraint, inner = after()
    assert not constraint.allows(ID[b"y"])
    assert not constraint.allows(ID[b""])
    feed(constraint, b"x")
    assert inner.accepted == [ID[b"x"]]
    assert not constraint.allows(ID[b"<t>"])


def test_a_thought_that_the_prompt_opened_goes_on() -> None:
    constraint, inner = after(is_open=True)
    feed(constraint, b"y", b"</", b"t", b">", b"x")
    assert inner.accepted == [ID[b"x"]]


def test_a_reply_does_not_end_within_its_thought() -> None:
    constraint = AfterThought(WantsX(), Thought("<t>", "</t>"), len(PIECES), Pieces(Spelled()), [ID[b"y"], ID[b">"]])
    feed(constraint, b"<t>")
    assert not constraint.allows(ID[b"y"])
    assert constraint.allows(ID[b">"]), "it is a part of the closing tag"
    assert ID[b">"] in constraint.allowed() and ID[b"y"] not in constraint.allowed()


def test_all_that_is_allowed_is_known_in_every_stage() -> None:
    constraint, _ = after()
    assert {PIECES[i] for i in constraint.allowed()} == {b"<", b"<t>", b" ", b"x", b"<t>y"}
    feed(constraint, b"<t>")
    assert {PIECES[i] for i in constraint.allowed()} == {*PIECES} - {b"y</t>x"}
    feed(constraint, b"</", b"t")
    assert {PIECES[i] for i in constraint.allowed()} == {*PIECES} - {b"y</t>x", b">y"}
    feed(constraint, b">\n")
    assert constraint.allowed().tolist() == [ID[b"x"]]


def test_no_token_ends_a_thought_and_says_what_would_not_be_constrained() -> None:
    constraint, inner = after(is_open=True)
    assert not constraint.allows(ID[b"y</t>x"]), "not even if that would fit"
    feed(constraint, b">y", b"</", b"t")
    assert not constraint.allows(ID[b">y"])
    feed(constraint, b">\n", b"x")
    assert inner.accepted == [ID[b"x"]]


def test_white_space_before_a_thought_is_bounded() -> None:
    constraint, _ = after()
    for _ in range(30):
        if not constraint.allows(ID[b" "]):
            break
        constraint.accept(ID[b" "])
    assert not constraint.allows(ID[b" "])
    assert constraint.allows(ID[b"x"])


def test_nothing_is_forced_before_the_text() -> None:
    constraint, _ = after()
    assert constraint.forced() == ()
    feed(constraint, b"<t>", b"y")
    assert constraint.forced() == ()
    feed(constraint, b"</t>")
    assert constraint.forced() == [ID[b"x"]]


def test_a_tag_that_has_begun_may_go_on_in_any_cut() -> None:
    constraint, _ = after()
    feed(constraint, b" ", b"<")
    assert {PIECES[token] for token in constraint.allowed()} == {b"t", b"x"}
