"""What a training example is, and the examples that the tables of topics give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tools.pico import wordings
from tools.pico.tables import Lists, read_table

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation and what pico should say next.

    `answer` is learned; `given` stands before it and is not (a JSON grammar forced it, say). `thought` is what pico
    thinks when thinking is on; without one it does not think. `expect` is text that a right answer contains.
    """

    messages: tuple[Message, ...]
    answer: str
    thought: str | None = None
    given: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    system: str = ""
    thinking: bool = False
    ends: bool = True  # whether the turn is over after the answer
    expect: str = ""

    @property
    def question(self) -> str:
        return str(self.messages[-1]["content"])

    def after(self, earlier: tuple[Message, ...]) -> Example:
        return replace(self, messages=earlier + self.messages)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing that pico knows, and how people ask for it (see facts.toml)."""

    id: str
    gist: str
    answers: tuple[str, ...]
    expect: str
    ask: tuple[str, ...]
    unseen: tuple[str, ...]
    named: tuple[str, ...]
    answer_named: str
    words: dict[str, str]
    is_about_puna: bool

    def example(self, rng: Random, lists: Lists) -> Example:
        if self.named and rng.random() < 0.4:
            name = lists.model_name(rng)
            text = wordings.humanize(wordings.expand(rng.choice(self.named), self.words, rng), rng)
            return self._asked(wordings.fill(text, {"name": name}), self.answer_named.replace("{name}", name))
        pattern = wordings.expand(rng.choice(self.ask), self.words, rng)
        text = wordings.humanize(pattern, rng, about_puna=self.is_about_puna)
        return self._asked(wordings.fill(text, {"city": rng.choice(lists["cities"])}), rng.choice(self.answers))

    def _asked(self, question: str, answer: str) -> Example:
        return Example((user(question),), answer, f"The user asks {self.gist}. I know that.", expect=self.expect)


def load_topics(file: str) -> tuple[Topic, ...]:
    table = read_table(file)
    return tuple(
        Topic(
            id=topic["id"],
            gist=topic["gist"],
            answers=tuple(topic.get("answers") or (topic["answer"],)),
            expect=topic["expect"],
            ask=tuple(topic["ask"]),
            unseen=tuple(topic["unseen"]),
            named=tuple(topic.get("named", ())),
            answer_named=topic.get("answer_named", ""),
            words=table["words"],
            is_about_puna=file == "facts.toml",
        )
        for topic in table["topic"]
    )
