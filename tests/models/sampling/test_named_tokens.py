"""Tokens that grammars name."""

from __future__ import annotations

import numpy as np
import pytest

from models.sampling.constraint_errors import GrammarError
from models.sampling.named_tokens import NamedTokens, number_tokens
from tests.fakes.context import BOS, CALL, END, ByteVocabulary, Tokens

TOKENS = NamedTokens(ByteVocabulary())


@pytest.mark.parametrize(("text", "token"), [("<call>", CALL), ("a", 97), ("<none>", None), ("ab", None), ("", None)])
def test_a_name_is_that_of_one_token(text: str, token: int | None) -> None:
    assert TOKENS.find(text) == token


def test_a_reply_has_tokens_with_text_that_do_not_end_it() -> None:
    assert TOKENS.sayable == {*range(1, 256), BOS, CALL}
    assert not any(map(TOKENS.is_sayable, (0, END, 260)))


@pytest.mark.parametrize(
    ("lark", "expected"),
    [
        ("start: <call>", "start: <[258]>"),
        ("start: <call>* <bos>", "start: <[258]>* <[257]>"),
        ("start: <[5]> <[^1-3]>", "start: <[5]> <[^1-3]>"),
        ('start: "<call>" /<call>/ // <none>\n# <none>', 'start: "<call>" /<call>/ // <none>\n# <none>'),
        ('start: "a\\"<none>" <call>', 'start: "a\\"<none>" <[258]>'),
        ("start: /a\\/<none>/ <call>", "start: /a\\/<none>/ <[258]>"),
        ('start: %json {"pattern": "<none>"} <call>', 'start: %json {"pattern": "<none>"} <[258]>'),
        ("start: T <call>\nT: /[^<>]+/", "start: T <[258]>\nT: /[^<>]+/"),
    ],
)
def test_names_become_numbers(lark: str, expected: str) -> None:
    assert number_tokens(lark, TOKENS).replace("> ", ">").split() == expected.replace("> ", ">").split()


def test_what_comes_after_a_name_stays_where_it_was() -> None:
    class OneToken(ByteVocabulary):
        def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> Tokens:
            return np.array([7], dtype=np.int32)

    assert number_tokens("start: <|im_start|> x", NamedTokens(OneToken())) == "start: <[7]>        x"


def test_a_name_that_no_token_has_is_a_mistake_with_a_place() -> None:
    with pytest.raises(GrammarError, match=r"^line 2, column 6: <none> is no single token of this model$"):
        number_tokens('start: "<none>"\nx:   <none>', TOKENS)
