"""Turns the patterns of the data files into sentences the way people type them.

A pattern holds choices `(a|b|)`, words `{how}` that stand for choices, and values `{city}` that are filled in last, so
that no typo or change of case can separate a value in the question from the same value in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from random import Random

from tools.pico.tables import read_table

MANNERS = read_table("manners.toml")
PROPER = {word.lower(): word for word in MANNERS["proper"].split()}
QUESTION_WORDS = frozenset(MANNERS["question_words"].split())
SMALL_WORDS = frozenset(MANNERS["small_words"].split())

_SLOT = re.compile(r"\{\w+\}")


def expand(pattern: str, words: dict[str, str], rng: Random) -> str:
    """Choose one alternative of every choice and word of the pattern; slots that are not words stay."""
    while "(" in pattern:
        pattern = re.sub(r"\(([^()]*)\)", lambda m: rng.choice(m[1].split("|")), pattern)

    def choose(slot: re.Match[str]) -> str:
        word = slot[0][1:-1]
        return expand(rng.choice(alternatives(words[word])), words, rng) if word in words else slot[0]

    return " ".join(_SLOT.sub(choose, pattern).split())


@cache
def alternatives(text: str) -> tuple[str, ...]:
    """The parts of `a|b(c|d)|e`, where bars inside parentheses belong to the inner choice."""
    parts, depth, start = [], 0, 0
    text = text.replace("\n", "")
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return (*parts, text[start:]) if text else ()


def humanize(text: str, rng: Random, *, about_puna: bool = False) -> str:
    """Vary case, punctuation, politeness and spelling; slots stay as they are."""
    if about_puna and "puna" not in text and rng.random() < 0.22:
        text += rng.choice(MANNERS["puna_suffixes"])
    if rng.random() < 0.08:
        text += rng.choice(MANNERS["suffixes"])
    is_question = text.split(" ")[0] in QUESTION_WORDS
    if rng.random() < 0.1:
        text = _telegram(text, rng)
    for long, short in MANNERS["contractions"]:
        if rng.random() < 0.35:
            text = f" {text} ".replace(f" {long} ", f" {short} ", 1).strip()
    if rng.random() < 0.15:
        text = rng.choice(MANNERS["prefixes"]) + text
    if rng.random() < 0.16:
        text = _misspell(text, rng)
    ends: list[str] = MANNERS["question_ends" if is_question else "statement_ends"]
    sentence = _letter_case(text, rng) + rng.choice(ends)
    return rng.choice(MANNERS["openings"]) + sentence if rng.random() < 0.06 else sentence


def plain(text: str) -> str:
    """Without case, punctuation and contractions: two wordings that are alike to a person."""
    text = f" {text.lower()} "
    for long, short in MANNERS["contractions"]:
        text = text.replace(f" {short} ", f" {long} ")
    return re.sub(r"[^a-z0-9]+", " ", text).strip()


def _telegram(text: str, rng: Random) -> str:
    """Some of the small words left out, as in a search box."""
    words = text.split(" ")
    if len(words) < 5:
        return text
    return " ".join(word for word in words if word not in SMALL_WORDS or rng.random() < 0.5)


def _misspell(text: str, rng: Random) -> str:
    words = text.split(" ")
    candidates = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for i in rng.sample(candidates, min(len(candidates), rng.choice((1, 1, 2)))):
        words[i] = _slip(words[i], rng)
    return " ".join(words)


def _slip(word: str, rng: Random) -> str:
    """One slip of the finger: a letter lost, doubled, swapped or wrong."""
    i = rng.randrange(len(word) - 1)
    match rng.randrange(4):
        case 0:
            return word[:i] + word[i + 1 :]
        case 1:
            return word[:i] + word[i] + word[i:]
        case 2:
            return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        case _:
            return word[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[i + 1 :]


def _letter_case(text: str, rng: Random) -> str:
    style = rng.random()
    if style < 0.3:
        return text
    if style < 0.33:
        return _outside_slots(text, str.upper)
    text = " ".join(PROPER.get(word, word) for word in text.split(" ")) if style < 0.85 else text
    return text if text.startswith("{") else text[:1].upper() + text[1:]


def _outside_slots(text: str, change: Callable[[str], str]) -> str:
    parts = re.split(r"(\{\w+\})", text)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def fill(text: str, values: dict[str, str]) -> str:
    """Put the values into their slots; unknown slots stay."""
    return _SLOT.sub(lambda m: values.get(m[0][1:-1], m[0]), text)
