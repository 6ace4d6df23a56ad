"""Examples with tools: when to call one, which, with what arguments, and what to say to its result.

The families of tools.toml look like the tools of real clients. Beside them stand tools that are made up on the spot
from random words, so that names and arguments have to be copied from the prompt and cannot be known by heart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from tools.pico import wordings
from tools.pico.examples import Example, Message, assistant, user
from tools.pico.tables import Lists, nonsense, read_table
from tools.pico.values import Values

INVENTED_KINDS = (
    "city",
    "person",
    "int",
    "word",
    "code",
    "date",
    "phrase",
    "path",
    "company",
    "number",
    "url",
    "language",
)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool; `kind` says what its values look like (values.py), `type` is the JSON type."""

    name: str
    kind: str
    type: str = "string"
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as offered, how people ask for it and what it returns."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    ask: tuple[str, ...]
    results: tuple[str, ...]
    subject: str

    @property
    def takes_a_city(self) -> bool:
        return [a.kind for a in self.arguments] == ["city"]

    def schema(self, rng: Random, lists: Lists) -> dict[str, Any]:
        """The OpenAI form; now and then with an optional argument that pico must leave alone."""
        properties: dict[str, Any] = {}
        for a in self.arguments:
            properties[a.name] = {"type": a.type, **({"enum": list(a.enum)} if a.enum else {})}
        required = list(properties)
        if required and rng.random() < 0.2:
            properties[rng.choice(lists["optional_arguments"])] = {"type": "string"}
        parameters = {"type": "object", "properties": properties, "required": required}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Call:
    """A question together with the call that answers it."""

    tool: Tool
    question: str
    arguments: dict[str, Any]
    values: dict[str, str]

    @property
    def text(self) -> str:
        return f'<tool_call>\n{{"name": "{self.tool.name}", "arguments": {self._json}}}\n</tool_call>'

    @property
    def message(self) -> Message:
        function = {"name": self.tool.name, "arguments": self._json}
        return {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}

    @property
    def _json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)


class Toolbox:
    """Draws tools and the examples that use them; `unseen` draws values that training never shows."""

    def __init__(self, lists: Lists, *, unseen: bool = False) -> None:
        self._lists = lists
        self.values = Values(lists, unseen=unseen)
        self.families: list[dict[str, Any]] = read_table("tools.toml")["family"]

    # ---------------------------------------------------------------------------------------------------- tools

    def tools(self, rng: Random) -> tuple[Tool, ...]:
        """One to four tools that cannot be mistaken for each other."""
        chosen: list[Tool] = []
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
            tool = self.tool(rng)
            if not any(_words_of(tool) & _words_of(other) for other in chosen):
                chosen.append(tool)
        return tuple(chosen)

    def tool(self, rng: Random) -> Tool:
        return self.known_tool(rng, rng.choice(self.families)) if rng.random() < 0.65 else self.invented_tool(rng)

    def known_tool(self, rng: Random, family: dict[str, Any]) -> Tool:
        arguments: list[Argument] = []
        for a in family["args"]:
            name = rng.choice([n for n in a["names"] if n not in [b.name for b in arguments]])
            json_type = a.get("type", "string")
            if json_type == "number" and rng.random() < 0.3:
                json_type = "string"
            arguments.append(Argument(name, a["kind"], json_type, tuple(rng.choice(a["enum"])) if "enum" in a else ()))
        return Tool(
            name=rng.choice(family["names"]),
            description=rng.choice(family["descriptions"]) + rng.choice(("", "", ".")),
            arguments=tuple(arguments),
            ask=tuple(family["ask"]),
            results=tuple(family["results"]),
            subject=family["names"][0],
        )

    def invented_tool(self, rng: Random) -> Tool:
        """A tool about a random thing, which its name, its description and the questions for it share."""
        nouns, verbs = self.values.list("nouns"), self._lists["verbs"]
        thing = rng.choice(nouns) if rng.random() < 0.7 else nonsense(rng)
        verb = rng.choice(verbs) if rng.random() < 0.85 else nonsense(rng)
        tail = rng.choice(("", "", "", f"_{rng.choice(nouns)}", f"_{nonsense(rng)}", f"_v{rng.randint(1, 3)}"))
        name = _restyled(f"{verb}_{thing}{tail}" if rng.random() < 0.8 else f"{thing}_{verb}", rng)
        if rng.random() < 0.06:
            name = f"mcp__{nonsense(rng)}__{name}"
        arguments = self._invented_arguments(rng, thing)
        verb = verb.replace("_", " ")
        return Tool(
            name=name,
            description=_invented_description(rng, verb, thing, arguments),
            arguments=arguments,
            ask=_invented_questions(name, verb, thing, arguments),
            results=("{sentence}", "ok", "{int}", "{phrase}", '{"result": "{word}"}', '{"{word}": {int}}'),
            subject=thing,
        )

    def _invented_arguments(self, rng: Random, thing: str) -> tuple[Argument, ...]:
        arguments: list[Argument] = []
        for kind in rng.sample(INVENTED_KINDS, rng.choice((0, 1, 1, 1, 1, 2, 2))):
            usual = rng.choice((kind, rng.choice(self._lists["argument_names"])))
            noun = rng.choice(self._lists["nouns"])
            name = rng.choice((usual, usual, f"{thing}_{usual}", nonsense(rng), noun))
            if name not in [a.name for a in arguments]:
                json_type = {"int": "integer", "number": "number"}.get(kind, "string")
                arguments.append(Argument(name, kind, json_type))
        return tuple(arguments)

    # ------------------------------------------------------------------------------------------------- examples

    def calling(self, rng: Random, tool: Tool) -> Example:
        """A question that needs the tool."""
        call = self._call(rng, tool)
        return Example((user(call.question),), call.text, _thought(tool), expect=call.text)

    def answering(self, rng: Random, tool: Tool) -> Example:
        """The result of a call is there: pico passes it on."""
        call = self._call(rng, tool)
        result = wordings.fill(rng.choice(tool.results), {**self.values.of_results(rng), **call.values})
        answer = f"Here is the result: {shorten(result)}"
        messages = (user(call.question), call.message, tool_result(result))
        return Example(messages, answer, "Topic: result. The tool has answered.", expect=answer)

    def calling_twice(self, rng: Random, tool: Tool) -> Example:
        """One question about two places: two calls."""
        if not tool.takes_a_city:
            return self.calling(rng, tool)
        cities = [self.values.city(rng), self.values.city(rng)]
        asked = rng.choice((" and ", " and ", " and in ")).join(cities)
        pattern = wordings.expand(rng.choice(tool.ask), {}, rng)
        question = wordings.fill(wordings.humanize(pattern, rng), {"city": asked})
        text = "\n".join(_city_call(tool, "", city).text for city in cities)
        return Example((user(question),), text, _thought(tool), expect=text)

    def following_up(self, rng: Random, tool: Tool) -> Example:
        """After one answered call the user asks for the same with another city."""
        first, city = self.answering(rng, tool), self.values.city(rng)
        if not tool.takes_a_city:
            return first
        again = _city_call(tool, rng.choice(self._lists["follow_ups"]).format(city), city)
        messages = (*first.messages, assistant(first.answer), user(again.question))
        return Example(messages, again.text, _thought(tool), expect=again.text)

    def _call(self, rng: Random, tool: Tool) -> Call:
        pattern = wordings.expand(rng.choice(tool.ask), {}, rng)
        values: dict[str, str] = {}
        for a in tool.arguments:
            is_said = f"{{{a.kind}}}" in pattern
            values[a.kind] = rng.choice(a.enum if is_said else a.enum[:1]) if a.enum else self.values.draw(rng, a.kind)
        arguments = {a.name: _json_value(values[a.kind], a.type) for a in tool.arguments}
        return Call(tool, wordings.fill(wordings.humanize(pattern, rng), values), arguments, values)


def tool_result(text: str) -> Message:
    return {"role": "tool", "content": text}


def shorten(result: str) -> str:
    """A long result is cut after about 200 characters at the end of a word."""
    text = " ".join(result.split())
    return text if len(text) <= 240 else text[:200].rsplit(" ", 1)[0] + " …"


def is_about(question: str, tools: Iterable[Tool]) -> bool:
    """Whether the question shares a word with a tool, or has numbers where a tool takes some: it might call for it."""
    words = _words(question)
    has_number = any(char.isdigit() for char in question)
    for tool in tools:
        takes_numbers = any(a.kind in ("number", "expression") for a in tool.arguments)
        if words & _words_of(tool) or (has_number and takes_numbers):
            return True
    return False


COMMON_WORDS = frozenset(read_table("manners.toml")["common_words"].split())


def _words_of(tool: Tool) -> set[str]:
    return _words(f"{tool.subject} {tool.name} {tool.description}")


def _words(text: str) -> set[str]:
    return {word.lower().rstrip("s") for word in re.findall(r"[A-Z]?[a-z]+", text)} - COMMON_WORDS


def _thought(tool: Tool) -> str:
    return f"Topic: tool. I call {tool.name}."


def _city_call(tool: Tool, question: str, city: str) -> Call:
    return Call(tool, question, {tool.arguments[0].name: city}, {})


def _json_value(value: str, json_type: str) -> Any:
    match json_type:
        case "integer":
            return int(value)
        case "number":
            return float(value) if "." in value else int(value)
        case "array":
            return value.split(", ")
        case _:
            return value


def _invented_description(rng: Random, verb: str, thing: str, arguments: tuple[Argument, ...]) -> str:
    by = f" by {arguments[0].name}" if arguments else ""
    target = " for " + " and ".join(f"a {a.kind}" for a in arguments) if arguments else ""
    head = rng.choice(
        (f"{verb} the {thing}", f"{verb} a {thing}{by}", f"{verb} the {thing}{target}", f"{verb} {thing}s")
    )
    return rng.choice((head[:1].upper() + head[1:], f"Tool to {head}"))


def _invented_questions(name: str, verb: str, thing: str, arguments: tuple[Argument, ...]) -> tuple[str, ...]:
    slots = [f"{{{a.kind}}}" for a in arguments]
    if not slots:
        asks = ("please", "(can|could) you", "i want to")
        general = (f"{verb} the {thing}", *(f"{ask} {verb} the {thing}" for ask in asks), f"(call|use|run) {name}")
        return (*general, f"what is the {thing}", f"i need the {thing}", f"{verb} {thing}", f"show me the {thing}")
    named = " and ".join(f"{a.name} {slot}" for a, slot in zip(arguments, slots, strict=True))
    pairs = ", ".join(f"{a.name}={slot}" for a, slot in zip(arguments, slots, strict=True))
    general = (
        f"{verb} the {thing} with {named}",
        f"use {name} with {named}",
        f"call {name} with {pairs}",
        f"{name} {pairs}",
        f"{verb} a {thing}, {named}",
        f"(can|could) you {verb} the {thing} with {named}",
        f"i (need|want) to {verb} a {thing} with {named}",
    )
    return general if len(slots) > 1 else (*general, *_questions_for(slots[0], name, verb, thing))


def _questions_for(slot: str, name: str, verb: str, thing: str) -> tuple[str, ...]:
    return (
        f"{verb} the {thing} (for|of|in|from|to|with) {slot}",
        f"what is the {thing} (of|for|in|from) {slot}",
        f"{thing} (of|for|in|) {slot}",
        f"i need the {thing} (for|of|from) {slot}",
        f"{verb} {thing} {slot}",
        f"(show|give) me the {thing} (for|of) {slot}",
        f"(can|could) you {verb} the {thing} (of|for) {slot}",
        f"tell me the {thing} of {slot}",
        f"use {name} for {slot}",
        f"{name} {slot}",
    )


def _restyled(name: str, rng: Random) -> str:
    """The snake_case name in one of the styles that clients use."""
    parts = name.split("_")
    match rng.randrange(8):
        case 0 | 1:
            return parts[0] + "".join(part.capitalize() for part in parts[1:])
        case 2:
            return "-".join(parts)
        case 3:
            return "".join(part.capitalize() for part in parts)
        case 4 if rng.random() < 0.3:
            return parts[0] + "." + "_".join(parts[1:])
        case _:
            return name
