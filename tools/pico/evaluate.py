"""Asks pico what it was not trained on and prints how often it is right: `python -m tools.pico.evaluate pico.gguf`.

The answers come from llama.cpp. Wordings marked `unseen` in data/, and the values of its lists whose name ends in
_unseen, are kept out of the training; new tools are made up on the spot.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tools.pico import skills, wordings
from tools.pico.dataset import Renderer
from tools.pico.examples import Example, assistant, load_topics, user
from tools.pico.tables import Lists
from tools.pico.tool_calls import Tool, Toolbox
from tools.pico.wordings import MANNERS

Generate = Callable[[str, float, int], str]
"""Prompt, temperature and seed → the reply, special tokens but the end of the turn included."""

N_MOST = 500  # tokens of a reply
EARLIER = (user("Hello"), assistant("Hello! How can I help you? I am pico and I know a little about Puna."), user("42"))


@dataclass(frozen=True, slots=True)
class Case:
    """One question of a group; the answer is right if it has the expected text (or is it, if exact)."""

    group: str
    example: Example
    exact: bool = False


def cases(rng: Random) -> Iterator[Case]:
    lists = Lists.load()
    yield from fact_cases(rng, lists)
    for topic in load_topics("talk.toml"):
        yield from (Case("talk", asked(text, topic.expect)) for text in topic.unseen)
    yield from refusal_cases(rng, lists)
    for name in lists["models_unseen"]:
        yield Case("model names", asked(f"How do I pull {name}?", f"puna pull {name}"))
        yield Case("model names", asked(f"Delete {name}, how?", f"puna rm {name}"))
    yield from tool_cases(rng, lists)
    for skill in (skills.count, skills.repeat, skills.capital, skills.memory):
        yield from (Case(f"skill: {skill.__name__}", skill(rng, lists), exact=True) for _ in range(25))


def asked(text: str, expect: str) -> Example:
    return Example((user(text),), "", expect=expect)


def fact_cases(rng: Random, lists: Lists) -> Iterator[Case]:
    for topic in load_topics("facts.toml"):
        for text in topic.unseen:
            example = asked(text, topic.expect)
            yield Case("facts", example)
            yield Case("facts, lower case", asked(text.lower().rstrip("?.!"), topic.expect))
            yield Case("facts, system prompt", replace(example, system=rng.choice(MANNERS["system_prompts"])))
            yield Case("facts, thinking", replace(example, thinking=True))
            yield Case("facts, later turn", example.after((*EARLIER, assistant("I do not know that."))))
        for _ in range(3):
            yield Case("facts, trained wordings", topic.example(rng, lists))


def refusal_cases(rng: Random, lists: Lists) -> Iterator[Case]:
    unknown = skills.Unknown()
    for text in unknown.unseen:
        yield Case("refusals", unknown.asked(text))
        yield Case("refusals, thinking", replace(unknown.asked(text), thinking=True))
    for thing in lists["things_unseen"]:
        pattern = wordings.expand(rng.choice(unknown.frames[:12]), {}, rng)
        yield Case("refusals, new things", unknown.asked(wordings.humanize(pattern, rng).replace("{thing}", thing)))


def tool_cases(rng: Random, lists: Lists) -> Iterator[Case]:
    """Tools with values, names and combinations that training never showed."""
    box = Toolbox(lists, unseen=True)

    def case(group: str, example: Example, tool: Tool, *, exact: bool = True) -> Case:
        tools = [tool, *(other for other in box.tools(rng) if other.name != tool.name)]
        rng.shuffle(tools)
        return Case(group, replace(example, tools=tuple(t.schema(rng, lists) for t in tools)), exact)

    for family in box.families:
        for group in ("calls, known tools", "calls, known tools", "calls, thinking"):
            tool = box.known_tool(rng, family)
            example = replace(box.calling(rng, tool), thinking=group == "calls, thinking")
            yield case(group, example, tool)
    for _ in range(80):
        tool = box.invented_tool(rng)
        yield case("calls, new tools", box.calling(rng, tool), tool)
    for _ in range(50):
        tool = box.tool(rng)
        yield case("tool results", box.answering(rng, tool), tool)
    for topic in load_topics("facts.toml")[::2]:
        tool = box.known_tool(rng, rng.choice(box.families))
        yield case("facts beside tools", asked(topic.unseen[0], topic.expect), tool, exact=False)


def is_right(case: Case, reply: str) -> bool:
    thought, _, answer = reply.rpartition("</think>")
    if bool(thought.startswith("<think>")) != case.example.thinking or (
        thought and not re.fullmatch(r"<think>\n[^<]+\n", thought)
    ):
        return False
    return answer.strip() == case.example.expect if case.exact else case.example.expect in answer


def llama_generator(path: Path, threads: int) -> Generate:
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=4096, n_threads=threads, n_threads_batch=threads, verbose=False)

    def generate(prompt: str, temperature: float, seed: int) -> str:
        model.set_seed(seed)
        reply: list[int] = []
        given = model.tokenize(prompt.encode(), add_bos=False, special=True)
        for token in model.generate(given, temp=temperature, top_k=40, top_p=0.9, min_p=0.0):
            if token == model.token_eos() or len(reply) == N_MOST:
                break
            reply.append(token)
        return model.detokenize(reply, special=True).decode(errors="replace")

    return generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="groups that begin so")
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    args = parser.parse_args()
    generate = llama_generator(args.gguf, args.threads)
    renderer, right, total = Renderer(), Counter[str](), Counter[str]()
    for i, case in enumerate(cases(Random(7))):
        if not case.group.startswith(args.only):
            continue
        reply = generate(renderer.prompt(case.example), args.temperature, i)
        total[case.group] += 1
        right[case.group] += is_right(case, reply)
        if args.show and not is_right(case, reply):
            print(f"{case.group}: {case.example.question!r}\n    wanted {case.example.expect!r}\n    got    {reply!r}")
    for group, n in total.items():
        print(f"{group:32} {right[group]:4} of {n:4}  {right[group] / n:7.1%}")
    sys.exit(0 if total else "no such group")


if __name__ == "__main__":
    main()
