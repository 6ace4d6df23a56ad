"""What a training example is, and the examples that the tables of topics give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tools.pico import wordings
from tools.pico.frames import About
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

    @property
    def is_prose(self) -> bool:
        """Whether the answer is text for people: no call and no JSON."""
        return not self.given and not self.answer.startswith(("{", "<tool_call>"))

    def after(self, earlier: tuple[Message, ...]) -> Example:
        return replace(self, messages=earlier + self.messages)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing that pico knows, and how people ask for it (see facts.toml and paraphrases.toml)."""

    id: str
    gist: str
    answers: tuple[str, ...]
    expect: str
    ask: tuple[str, ...]
    say: tuple[str, ...]
    about: About
    unseen: tuple[str, ...]
    named: tuple[str, ...]
    answer_named: str
    words: dict[str, str]
    is_about_puna: bool

    def example(self, rng: Random, lists: Lists) -> Example:
        if self.named and rng.random() < 0.3:
            name = lists.model_name(rng)
            text = wordings.humanize(wordings.expand(rng.choice(self.named), self.words, rng), rng)
            return self._asked(wordings.fill(text, {"name": name}), self.answer_named.replace("{name}", name))
        text = wordings.humanize(self._wording(rng), rng, about_puna=self.is_about_puna)
        return self._asked(wordings.fill(text, {"city": rng.choice(lists["cities"])}), rng.choice(self.answers))

    def _wording(self, rng: Random) -> str:
        kind = rng.choice(("ask", "say", *self.about.kinds) if self.say else ("ask", *self.about.kinds))
        match kind:
            case "ask":
                return wordings.expand(rng.choice(self.ask), self.words, rng)
            case "say":
                return wordings.expand(rng.choice(self.say), self.words, rng)
            case _:
                return self.about.question(kind, rng)

    def _asked(self, question: str, answer: str) -> Example:
        """With a thought that begins with the topic: one word tells what the question means."""
        thought = f"Topic: {self.id}. The user asks {self.gist}."
        return Example((user(question),), answer, thought, expect=self.expect)


def load_topics(file: str) -> tuple[Topic, ...]:
    """The topics of a table, each with its paraphrases."""
    table, paraphrases = read_table(file), read_table("paraphrases.toml")
    return tuple(_topic(topic, paraphrases[topic["id"]], table["words"], file) for topic in table["topic"])


def _topic(topic: dict[str, Any], more: dict[str, Any], words: dict[str, str], file: str) -> Topic:
    return Topic(
        id=topic["id"],
        gist=topic["gist"],
        answers=tuple(topic.get("answers") or (topic["answer"],)),
        expect=topic["expect"],
        ask=tuple(topic["ask"]),
        say=tuple(wordings.alternatives(more.get("say", ""))),
        about=About.parse(more),
        unseen=tuple(topic["unseen"]),
        named=tuple(topic.get("named", ())),
        answer_named=topic.get("answer_named", ""),
        words=words,
        is_about_puna=file == "facts.toml",
    )
