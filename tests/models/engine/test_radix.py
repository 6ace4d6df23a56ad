"""Who begins like this prompt."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.engine.radix import RadixTree, Tokens, common_prefix


def tokens(text: str) -> Tokens:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def tree_of(*texts: str) -> RadixTree[str]:
    tree: RadixTree[str] = RadixTree()
    for text in texts:
        tree.put(text, tokens(text))
    return tree


@pytest.mark.parametrize(
    ("texts", "prompt", "expected"),
    [
        pytest.param([], "abc", [], id="nobody there"),
        pytest.param(["abc"], "xyz", [], id="nothing in common"),
        pytest.param(["abc"], "abcd", [(3, "abc")], id="a whole one"),
        pytest.param(["abcdef"], "abx", [(2, "abcdef")], id="the beginning of one"),
        pytest.param(["abcdef"], "ab", [(2, "abcdef")], id="a prompt within one"),
        pytest.param(["a", "ab", "abc"], "abcd", [(3, "abc"), (2, "ab"), (1, "a")], id="the longest first"),
        pytest.param(["abcx", "abyy", "az"], "abcd", [(3, "abcx"), (2, "abyy"), (1, "az")], id="where they part"),
        pytest.param(["abc", "xyz"], "abc", [(3, "abc")], id="others are left out"),
    ],
)
def test_who_begins_alike(texts: list[str], prompt: str, expected: list[tuple[int, str]]) -> None:
    assert list(tree_of(*texts).matches(tokens(prompt))) == expected


def test_a_key_stands_for_its_last_tokens() -> None:
    tree: RadixTree[int] = RadixTree()
    tree.put(1, tokens("abc"))
    tree.put(1, tokens("xyz"))
    assert list(tree.matches(tokens("abc"))) == [] and list(tree.matches(tokens("xyz"))) == [(3, 1)]


def test_several_keys_may_stand_for_the_same() -> None:
    tree: RadixTree[int] = RadixTree()
    tree.put(1, tokens("abc"))
    tree.put(2, tokens("abc"))
    assert sorted(tree.matches(tokens("abc"))) == [(3, 1), (3, 2)]
    tree.discard(1)
    assert 1 not in tree and list(tree.matches(tokens("abc"))) == [(3, 2)]


def test_a_key_without_tokens_begins_like_nothing() -> None:
    tree = tree_of("")
    assert "" in tree and list(tree.matches(tokens("abc"))) == []
    tree.discard("")
    assert "" not in tree


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_comparing_one_by_one(seed: int) -> None:
    source = random.Random(seed)
    tree: RadixTree[int] = RadixTree()
    held: dict[int, str] = {}
    for _ in range(300):
        key = source.randrange(20)
        if source.random() < 0.3:
            tree.discard(key)
            held.pop(key, None)
        else:
            held[key] = "".join(source.choices("ab", k=source.randint(0, 12)))
            tree.put(key, tokens(held[key]))
        prompt = tokens("".join(source.choices("ab", k=source.randint(0, 12))))
        found = list(tree.matches(prompt))
        common = {key: common_prefix(prompt, tokens(text)) for key, text in held.items()}
        assert {key: n for n, key in found} == {key: n for key, n in common.items() if n}
        assert [n for n, _ in found] == sorted((n for n, _ in found), reverse=True)


def test_sequences_of_different_kinds_have_nothing_in_common() -> None:
    tree = tree_of("abc")
    tree.put("other", tokens("abcd"), "kind")
    assert list(tree.matches(tokens("abcd"))) == [(3, "abc")]
    assert list(tree.matches(tokens("abcd"), "kind")) == [(4, "other")]
    assert list(tree.matches(tokens("abcd"), "nobody's kind")) == []
    tree.put("other", tokens("ab"))
    assert list(tree.matches(tokens("abcd"), "kind")) == []
    assert list(tree.matches(tokens("abcd"))) == [(3, "abc"), (2, "other")]


def test_what_was_forgotten_leaves_nothing_behind() -> None:
    texts = ["abcdef", "abcxyz", "ab", "q"]
    tree = tree_of(*texts)
    tree.put("other", tokens("abc"), "kind")
    for text in (*texts, "other"):
        tree.discard(text)
    assert not tree._roots
