"""Makes questions out of verbs and nouns: the frames of frames.toml, filled with what a topic is about."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tools.pico import wordings
from tools.pico.tables import read_table, split_bars

_TABLE = read_table("frames.toml")
_WORDS = {"how": _TABLE["how"], "begin": _TABLE["begin"]}
_IRREGULAR: dict[str, str] = _TABLE["irregular"]
_ARTICLES = ("a ", "an ", "the ", "my ", "our ", "some ", "one ", "all ")


@dataclass(frozen=True, slots=True)
class About:
    """What questions are about: actions on objects, things to be explained, things that may be supported."""

    actions: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    things: tuple[str, ...] = ()
    able: tuple[str, ...] = ()

    @classmethod
    def parse(cls, table: dict[str, Any]) -> About:
        """From the fields `do`, `thing` and `able` of a table; nouns stand in lists or between bars."""
        pairs = [text.split(":", 1) for text in table.get("do", ())]
        actions = tuple((tuple(split_bars(verbs)), tuple(split_bars(objects))) for verbs, objects in pairs)
        return cls(actions, _nouns(table.get("thing", ())), _nouns(table.get("able", ())))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of questions that can be asked."""
        some = {"action": self.actions, "thing": self.things, "able": self.able}
        return tuple(kind for kind, nouns in some.items() if nouns)

    def question(self, kind: str, rng: Random) -> str:
        """A question of the kind; slots like {noun} stay in it."""
        if kind != "action":
            frame = wordings.expand(rng.choice(_FRAMES[kind]), _WORDS, rng)
            return frame.replace("{object}", rng.choice(self.things if kind == "thing" else self.able))
        verbs, objects = rng.choice(self.actions)
        return ask_for(rng.choice(verbs), rng.choice(objects), rng)


def ask_for(verb: str, target: str, rng: Random) -> str:
    """How to do something with something, in one of many ways."""
    frame = wordings.expand(rng.choice(_FRAMES["action"]), _WORDS, rng)
    does, done, doing = inflect(verb)
    values = {"do": verb, "does": does, "done": done, "doing": doing, "object": target, "bare": bare(target)}
    for slot, value in {**values, "is": "are" if _is_plural(target) else "is"}.items():
        frame = frame.replace("{" + slot + "}", value)
    return frame


def inflect(verb: str) -> tuple[str, str, str]:
    """Third person, participle and -ing form; of "turn off" the first word changes."""
    first, _, rest = verb.partition(" ")
    forms = _IRREGULAR[first].split() if first in _IRREGULAR else _regular(first)
    does, done, doing = (f"{form} {rest}".strip() for form in forms)
    return does, done, doing


def _regular(verb: str) -> list[str]:
    stem = verb.removesuffix("e")
    does = verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z")) else "s")
    return [does, stem + "ed", (verb if verb.endswith("ee") else stem) + "ing"]


def bare(target: str) -> str:
    """The noun without its article or pronoun."""
    for article in _ARTICLES:
        target = target.removeprefix(article)
    return target


def _is_plural(target: str) -> bool:
    head = target.split(" ")[1 if target.startswith(_ARTICLES) and " " in target else 0]
    return head.endswith("s") and not head.endswith("ss")


def _nouns(listed: str | list[str]) -> tuple[str, ...]:
    return tuple(split_bars(listed) if isinstance(listed, str) else listed)


_FRAMES = {kind: split_bars(_TABLE[kind]) for kind in ("action", "thing", "able")}
