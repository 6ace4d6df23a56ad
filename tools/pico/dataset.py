"""Mixes the examples into conversations and turns these into token ids with a mask of what is to be learned."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from jinja2.sandbox import ImmutableSandboxedEnvironment

from tools.pico import skills, wordings
from tools.pico.examples import Example, Message, Topic, assistant, load_topics
from tools.pico.tables import Lists
from tools.pico.tokenizer import Tokenizer
from tools.pico.tool_calls import Tool, Toolbox, is_about
from tools.pico.wordings import MANNERS

TEMPLATE = Path(__file__).with_name("template.jinja").read_text(encoding="utf-8").rstrip("\n")


OFTEN = frozenset(MANNERS["often"].split())
"""The topics that newcomers ask about most."""


class Mixture:
    """An endless stream of examples, fixed by the seed; `often` is the share of topics drawn from OFTEN alone."""

    def __init__(self, seed: int, *, often: float = 0.0) -> None:
        self.rng = Random(seed)
        self._often = often
        self._lists = Lists.load()
        self._facts, self._talk = load_topics("facts.toml"), load_topics("talk.toml")
        self._unknown = skills.Unknown()
        self._toolbox = Toolbox(self._lists)
        known = [text for topic in (*self._facts, *self._talk) for text in topic.unseen]
        self._held_out = {wordings.plain(text) for text in (*known, *self._unknown.unseen)}

    def example(self) -> Example:
        """One conversation, its last turn sometimes of a special kind."""
        rng = self.rng
        tools = self._toolbox.tools(rng) if rng.random() < 0.25 else ()
        messages: list[Message] = []
        for _ in range(rng.choice((0, 0, 0, 1) if tools else (0, 0, 0, 0, 0, 0, 0, 1, 1, 2))):
            turn = self._turn(tools)
            messages += [*turn.messages, assistant(turn.answer)]
        last = self._turn(tools, is_last=True)
        last = last if tools else self._in_json(last)
        return replace(
            last.after(tuple(messages)),
            tools=tuple(tool.schema(rng, self._lists) for tool in tools),
            system=self._system() if rng.random() < 0.12 else "",
            thinking=rng.random() < (0.35 if last.thought else 0.2),
        )

    def _turn(self, tools: tuple[Tool, ...], *, is_last: bool = False) -> Example:
        """A question and its answer; an unanswered call can only come last."""
        rng = self.rng
        if not tools or rng.random() < 0.28:
            return self._plain_beside(tools)
        tool = rng.choice(tools)
        if not is_last:
            return self._toolbox.answering(rng, tool)
        kinds: list[Callable[[Random, Tool], Example]] = [
            self._toolbox.calling,
            self._toolbox.answering,
            self._toolbox.calling_twice,
            self._toolbox.following_up,
        ]
        return rng.choices(kinds, (70, 22, 5, 3))[0](rng, tool)

    def _plain_beside(self, tools: tuple[Tool, ...]) -> Example:
        """A question that none of the tools could answer."""
        while is_about((example := self.plain()).question, tools):
            pass
        return example

    def _in_json(self, turn: Example) -> Example:
        """Now and then the same in JSON."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.03:
            return skills.json_forced(turn, rng, self._lists)
        return skills.json_answer(turn, rng) if kind < 0.08 else turn

    def plain(self) -> Example:
        """A question for which no tool is needed, and none of those that evaluate.py asks."""
        while wordings.plain((example := self._any_plain()).question) in self._held_out:
            pass
        return example

    def _any_plain(self) -> Example:
        rng, lists = self.rng, self._lists
        kinds: list[Callable[[Random, Lists], Example]] = [
            self._fact,
            self._small_talk,
            self._unknown.example,
            skills.repeat,
            skills.count,
            skills.capital,
            skills.memory,
            skills.story,
        ]
        return rng.choices(kinds, (58, 14, 21, 3, 0.8, 1.2, 1.6, 0.4))[0](rng, lists)

    def known(self) -> Example:
        """A question of the tables of topics."""
        topics = self._facts if self.rng.random() < 0.8 else self._talk
        return self._about(topics, self.rng, self._lists)

    def _fact(self, rng: Random, lists: Lists) -> Example:
        return self._about(self._facts, rng, lists)

    def _small_talk(self, rng: Random, lists: Lists) -> Example:
        return self._about(self._talk, rng, lists)

    def _about(self, topics: tuple[Topic, ...], rng: Random, lists: Lists) -> Example:
        if self._often and rng.random() < self._often:
            topics = tuple(topic for topic in topics if topic.id in OFTEN)
        return rng.choice(topics).example(rng, lists)

    def _system(self) -> str:
        """A system prompt, sometimes a long one."""
        rng, values = self.rng, self._toolbox.values
        prompt = str(rng.choice(MANNERS["system_prompts"]))
        if rng.random() < 0.7:
            return prompt
        return " ".join((prompt, *(values.sentence(rng) for _ in range(rng.choice((1, 2, 3, 5, 20))))))


class Renderer:
    """Renders examples through the very template that is written into the GGUF."""

    def __init__(self) -> None:
        self._template = ImmutableSandboxedEnvironment().from_string(TEMPLATE)

    def prompt(self, example: Example) -> str:
        system = [{"role": "system", "content": example.system}] if example.system else []
        return self._template.render(
            messages=[*system, *example.messages],
            tools=list(example.tools) or None,
            add_generation_prompt=True,
            **({"enable_thinking": True} if example.thinking else {}),
        )

    def answer(self, example: Example) -> str:
        """The whole reply, without what was given."""
        thinks = example.thinking and example.thought and not example.given
        thought = f"<think>\n{example.thought}\n</think>\n\n" if thinks else ""
        return thought + example.answer + ("<|im_end|>" if example.ends else "")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, positions (with a gap that stands for a longer past), and which tokens are learned."""

    tokens: list[int]
    positions: list[int]
    learned: list[bool]


_TURN = re.compile(r"(?<=<\|im_start\|>assistant\n)(.*?<\|im_end\|>)", re.DOTALL)
CUT_SHARE = 0.7


def encode(example: Example, renderer: Renderer, tokenizer: Tokenizer, rng: Random, *, n_ctx: int) -> Encoded:
    """The ids of a conversation; what the assistant says in it is learned, except what was given.

    Most of the prose answers are cut after some tokens: what was asked shows in the first ones, and the rest of an
    answer, always the same, is soon known.
    """
    tokens: list[int] = []
    learned: list[bool] = []
    parts = _TURN.split(renderer.prompt(example))  # every second one is an earlier turn of the assistant
    for i, part in enumerate((*parts[:-1], parts[-1] + example.given, renderer.answer(example))):
        ids = tokenizer.encode(part)
        if i == len(parts) and example.is_prose and rng.random() < CUT_SHARE:
            ids = ids[: rng.randint(4, 16)]
        tokens += ids
        learned += [i % 2 == 1] * len(ids)
    return Encoded(tokens, _positions(tokens, tokenizer, rng, n_ctx), learned)


def _positions(tokens: list[int], tokenizer: Tokenizer, rng: Random, n_ctx: int) -> list[int]:
    """0, 1, 2 … with, in every tenth example, a jump at one message: as if more text had stood before it."""
    positions = list(range(len(tokens)))
    if rng.random() < 0.1 and len(tokens) < n_ctx - 2:
        jump_at = rng.choice([i for i, token in enumerate(tokens) if token == tokenizer.im_start])
        jump = int((n_ctx - len(tokens)) ** rng.random())
        positions = [p + jump if p >= jump_at else p for p in positions]
    return positions
