"""What a model writes around its thoughts, as far as the engine must know it: for constraints and for budgets."""

from __future__ import annotations

from dataclasses import dataclass

from models.runner.settings import Thought


@dataclass(frozen=True, slots=True)
class ThoughtForm:
    """`before_answer`: what comes before an answer that is constrained; `alone`: the thought and nothing else."""

    before_answer: Thought
    alone: Thought


HARMONY = ThoughtForm(Thought("<|channel|>", "final<|message|>"), Thought("<|channel|>analysis<|message|>", "<|end|>"))
GLIMMER = ThoughtForm(Thought(" to=", "user<|message|>", is_open=True), Thought(" to=self<|message|>", "<|eom|>"))
"""Of these two, an answer has a header as a thought has one."""

_TAGS = {
    "cohere": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "gemma4": ("<|channel>thought", "<channel|>"),
}
"""By the name of the parser; all others have `<think>`."""


def built_in_thoughts(parser: str, prompt: str) -> ThoughtForm:
    """The thoughts that a built-in parser reads in the reply to this prompt."""
    match parser:
        case "harmony":
            return HARMONY
        case "glimmer":
            return GLIMMER
        case _:
            return thoughts_between(*_TAGS.get(parser, ("<think>", "</think>")), prompt)


def thoughts_between(start: str, end: str, prompt: str) -> ThoughtForm:
    """Thoughts between two tags, of which the prompt may end with the first; without a first they begin the reply."""
    thought = Thought(start, end, is_open=prompt.rstrip().endswith(start))
    return ThoughtForm(thought, thought)
