"""How long a thought may become."""

from __future__ import annotations

import pytest

from models.runner.settings import Thought, ThoughtBudget
from models.sampling.thoughts import ThoughtLimit

THOUGHT = Thought("<t>", "</t>")


def limit(n_tokens: int, *, is_open: bool = False) -> ThoughtLimit:
    """A token is a letter."""
    budget = ThoughtBudget(Thought(THOUGHT.start, THOUGHT.end, is_open), n_tokens)
    return ThoughtLimit(budget, lambda token: bytes([token]), lambda text: list(text.encode()))


def follow(thought: ThoughtLimit, text: str) -> str:
    """What is said in the end when the model wants to say this text: forced tokens come in between."""
    said = b""
    for byte in text.encode():
        while forced := thought.forced():
            said += bytes([forced[0]])
            thought.accept(forced[0])
        said += bytes([byte])
        thought.accept(byte)
    while forced := thought.forced():
        said += bytes([forced[0]])
        thought.accept(forced[0])
    return said.decode()


@pytest.mark.parametrize(
    ("n_tokens", "is_open", "wanted", "said"),
    [
        (3, False, "<t>abcdef", "<t>abc</t>def"),
        (0, False, "<t>abc", "<t></t>abc"),
        (0, True, "abc", "</t>abc"),
        (2, True, "abcd", "ab</t>cd"),
        (2, False, " <t>abcd", " <t>ab</t>cd"),
        (9, False, "<t>ab</t>cdefghijklmn", "<t>ab</t>cdefghijklmn"),
        (2, False, "no thought at all", "no thought at all"),
        (2, False, "<no thought at all", "<no thought at all"),
        (4, False, "<t>ab</cd", "<t>ab</t>cd"),  # what is there of the tag is not said again
        (3, False, "<t>ab<cd", "<t>ab</t>cd"),
        (9, False, "<t>a</t><t>bcdefghijklmn", "<t>a</t><t>bcdefghijklmn"),  # only the first is a thought
    ],
)
def test_a_thought_ends_after_so_many_tokens(n_tokens: int, is_open: bool, wanted: str, said: str) -> None:
    assert follow(limit(n_tokens, is_open=is_open), wanted) == said


def test_the_end_is_forced_whole() -> None:
    assert bytes(limit(0, is_open=True).forced()) == b"</t>"
