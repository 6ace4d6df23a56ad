"""Reads the tables of data/: lists of names and values, topics, wordings."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

DATA = Path(__file__).with_name("data")


def read_table(file: str) -> dict[str, Any]:
    return tomllib.loads((DATA / file).read_text(encoding="utf-8"))


def split_bars(text: str) -> list[str]:
    """The parts of `a|b|c`, which may go over several lines."""
    return [part.strip() for part in text.replace("\n", "").split("|")]


@dataclass(frozen=True)
class Lists:
    """Names and values by kind, from lists.toml."""

    values: dict[str, tuple[str, ...]]

    @classmethod
    def load(cls) -> Lists:
        return cls({kind: tuple(_parse_list(text)) for kind, text in read_table("lists.toml").items()})

    def __getitem__(self, kind: str) -> tuple[str, ...]:
        return self.values[kind]

    def model_name(self, rng: Random) -> str:
        if rng.random() < 0.65:
            return rng.choice(self["models"])
        noun = rng.choice(self["nouns"])
        size = rng.choice(("", "", f":{rng.randint(1, 72)}b", f":{noun}", f":v{rng.randint(1, 9)}"))
        second = rng.choice(("", "", str(rng.randint(1, 9)), f"-{rng.choice(self['nouns'])}"))
        return rng.choice((nonsense(rng), noun)) + second + size


def _parse_list(text: str) -> list[str]:
    """`a|b c|d` or `a b c_d`; an underscore in a name stands for a space."""
    if "|" in text:
        return split_bars(text)
    return [word.replace("_", " ") if word[0].isupper() and "/" not in word else word for word in text.split()]


def nonsense(rng: Random) -> str:
    """A pronounceable word that means nothing."""

    def syllable() -> str:
        return (
            rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "l", "s", "x", "m"))
        )

    return "".join(syllable() for _ in range(rng.choice((1, 2, 2, 3, 3))))
