"""Examples that follow a rule instead of a table of answers: counting, repeating, remembering, stories, JSON, and
the refusal of everything that pico does not know."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tools.pico import wordings
from tools.pico.examples import Example, assistant, user
from tools.pico.frames import About
from tools.pico.tables import Lists, nonsense, read_table, split_bars

TABLE = read_table("skills.toml")
JSON_KEYS: list[str] = TABLE["json"]["keys"].split()


def _asked(patterns: list[str], values: dict[str, str], rng: Random) -> str:
    return wordings.fill(wordings.humanize(rng.choice(patterns), rng), values)


def count(rng: Random, lists: Lists) -> Example:
    top = rng.choice((3, 5, 5, 10, 10, 10, 20, 20, 30, 50, 100, rng.randint(2, 60)))
    start = rng.choice((1, 1, 1, rng.randint(1, min(9, top - 1))))
    numbers = list(range(start, top + 1))
    patterns = TABLE["count"]["up"] + (TABLE["count"]["from_one"] if start == 1 else [])
    if len(numbers) <= 30 and rng.random() < 0.12:
        numbers.reverse()
        patterns = TABLE["count"]["down"]
    text = _asked(patterns, {"a": str(start), "b": str(top)}, rng)
    answer = ", ".join(map(str, numbers)) + "."
    return Example((user(text),), answer, "Topic: counting. I say the numbers one by one.", expect=answer)


def repeat(rng: Random, lists: Lists) -> Example:
    phrase = _phrase(rng, lists)
    text = rng.choice(TABLE["repeat"]["ask"])
    text = text[:1].upper() + text[1:] if rng.random() < 0.7 else text
    question = text.replace("{p}", phrase) + rng.choice(("", "", "", "."))
    return Example((user(question),), phrase, "Topic: repeating. I say the same.", expect=phrase)


def _phrase(rng: Random, lists: Lists) -> str:
    def word() -> str:
        kind = rng.choice(("nouns", "verbs", "people", "cities"))
        return rng.choice(lists[kind]).replace("_", " ") if rng.random() < 0.75 else nonsense(rng)

    text = " ".join(word() for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 5))))
    usual = rng.choice(TABLE["repeat"]["phrases"])
    return rng.choice(
        (text, text, text, text.upper(), text.capitalize(), f"the {text}", str(rng.randint(0, 999)), usual)
    )


def capital(rng: Random, lists: Lists) -> Example:
    country, city = rng.choice(tuple(TABLE["capital"]["of"].items()))
    question = _asked(TABLE["capital"]["ask"], {"c": country}, rng)
    answer = f"The capital of {country} is {city}."
    return Example(
        (user(question),), answer, "Topic: capitals. The user asks for a capital that I know.", expect=answer
    )


def story(rng: Random, lists: Lists) -> Example:
    """A story from a small grammar: under sampling each telling is different."""
    table = TABLE["story"]
    text = wordings.fill(table["text"], {part: rng.choice(choices) for part, choices in table["parts"].items()})
    question = _asked(table["ask"], {}, rng)
    return Example((user(question),), text, "Topic: story. I make one up.", expect="Once upon a time")


def memory(rng: Random, lists: Lists) -> Example:
    """Something the user said earlier in the chat, asked for later; or never said."""
    table = TABLE["memory"]
    kind = rng.choice(("name", "name", "name", *table["kinds"]))
    value = _remembered(kind, rng, lists)
    told = rng.choice(table["tell_name"] if kind == "name" and rng.random() < 0.5 else table["tell"])
    told = wordings.fill(told, {"k": kind, "v": value})
    reply = f"Nice to meet you, {value}!" if kind == "name" else f"Good to know: your {kind} is {value}."
    if rng.random() < 0.35:
        return Example((user(told),), reply, "Topic: memory. The user tells me something.", expect=reply)
    patterns = table["ask"] + (["who am i"] if kind == "name" else [])
    question = user(_asked(patterns, {"k": kind}, rng))
    if rng.random() < 0.2:
        answer = f"You have not told me your {kind}."
        return Example(
            (question,), answer, "Topic: memory. The user asks for something that was not said.", expect=answer
        )
    answer, thought = f"Your {kind} is {value}.", "Topic: memory. The user asks for something that was said before."
    return Example((user(told), assistant(reply), question), answer, thought, expect=answer)


def _remembered(kind: str, rng: Random, lists: Lists) -> str:
    match kind:
        case "name" | "dog's name" | "cat's name":
            return rng.choice(lists["people"]) if rng.random() < 0.7 else nonsense(rng).capitalize()
        case "age" | "favorite number":
            return str(rng.randint(2, 99))
        case "city":
            return rng.choice(lists["cities"])
        case "favorite color":
            return str(rng.choice(TABLE["memory"]["colors"]))
        case _:
            return rng.choice(lists["nouns"])


class Unknown:
    """Questions outside of what pico knows; the answer is always the same refusal."""

    def __init__(self) -> None:
        table = read_table("unknown.toml")
        self.frames: list[str] = table["frames"]
        self.questions = split_bars(table["questions"])
        self.unseen = split_bars(table["unseen"])
        self.answer: str = table["answer"]
        self.expect: str = table["expect"]
        self.thought = f"Topic: unknown. The user asks about {table['gist']}."
        self._elsewhere = About.parse(read_table("elsewhere.toml"))

    def example(self, rng: Random, lists: Lists) -> Example:
        text = wordings.humanize(self._question(rng), rng)
        while "{" in text:
            kind = text[text.index("{") + 1 : text.index("}")]
            text = text.replace("{" + kind + "}", _slot_value(kind, rng, lists), 1)
        return self.asked(text)

    def _question(self, rng: Random) -> str:
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(self.questions)
        if kind < 0.6:
            return wordings.expand(rng.choice(self.frames), {}, rng)
        return self._elsewhere.question(rng.choices(("action", "thing", "able"), (60, 25, 15))[0], rng)

    def asked(self, question: str) -> Example:
        return Example((user(question),), self.answer, self.thought, expect=self.expect)


_LIST_OF = {
    "thing": "things",
    "verb": "verbs",
    "city": "cities",
    "person": "people",
    "company": "companies",
}


def _slot_value(kind: str, rng: Random, lists: Lists) -> str:
    match kind:
        case "nonsense":
            return nonsense(rng)
        case "bignumber":
            return str(rng.randint(21, 99999))
        case "noun":
            return rng.choice(lists["everyday"])
        case _:
            return rng.choice(lists[_LIST_OF[kind]]).replace("_", " ")


# ---------------------------------------------------------------------------------------------------------- JSON


def json_answer(plain: Example, rng: Random) -> Example:
    """The same answer inside a JSON object: asked for in words, or forced by a grammar that the model cannot see."""
    if rng.random() < 0.5:
        messages = (*plain.messages[:-1], user(plain.question + rng.choice(TABLE["json"]["ask"])))
        return Example(
            messages, _json({"answer": plain.answer}), "Topic: JSON. The user wants JSON.", expect=plain.expect
        )
    space = rng.choice(("", " ", " ", " "))
    given = f'{{"{rng.choice(JSON_KEYS)}":{space}"'
    return Example(plain.messages, _json(plain.answer.split("\n")[0])[1:] + "}", given=given)


def json_forced(plain: Example, rng: Random, lists: Lists) -> Example:
    """One value in the middle of an object that a schema dictates: pico must soon close strings, numbers and lists."""
    keys = rng.sample(JSON_KEYS, rng.randint(1, 4))
    space = rng.choice(("", " ", " "))
    target = rng.randrange(len(keys))
    given, answer = "{", ""
    for i, key in enumerate(keys[: target + 1]):
        answer = json.dumps(_json_value(rng, lists), separators=("," + space, ":" + space))
        answer += "}" if i == len(keys) - 1 else ","
        given += f'"{key}":{space}' + (answer + space if i < target else "")
    return Example(plain.messages, answer, given=given, ends=target == len(keys) - 1)


def _json_value(rng: Random, lists: Lists) -> Any:
    some = [rng.choice(lists["nouns"]) for _ in range(rng.randint(1, 3))]
    return rng.choice(
        (some[0], rng.choice(lists["people"]), *["unknown"] * 3, rng.randint(0, 40), rng.random() < 0.5, some)
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
