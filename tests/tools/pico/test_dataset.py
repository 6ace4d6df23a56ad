from __future__ import annotations

import json
import re
from itertools import pairwise
from random import Random

import pytest

from tools.pico.dataset import Mixture, Renderer, encode
from tools.pico.examples import Example, load_topics, user
from tools.pico.skills import Unknown
from tools.pico.tables import Lists
from tools.pico.tokenizer import SPECIAL, Tokenizer, train
from tools.pico.tool_calls import Toolbox, shorten
from tools.pico.wordings import expand, humanize, plain

TOPICS = load_topics("facts.toml") + load_topics("talk.toml")
N_EXAMPLES = 400


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    mixture = Mixture(1)
    return [mixture.example() for _ in range(N_EXAMPLES)]


@pytest.fixture(scope="module")
def bytewise() -> Tokenizer:
    return train([], [], n_tokens=len(SPECIAL) + 256, n_spaced=0)


def test_every_topic_has_its_own_name_and_answers_what_its_check_expects() -> None:
    assert len({topic.id for topic in TOPICS}) == len(TOPICS)
    for topic in TOPICS:
        assert all(topic.expect in answer for answer in topic.answers), topic.id
        assert all("{name}" in pattern for pattern in topic.named), topic.id
        assert bool(topic.named) == ("{name}" in topic.answer_named), topic.id


def test_the_wordings_kept_for_the_evaluation_are_not_trained(examples: list[Example]) -> None:
    """Frames could put one of them together by chance; the mixture then draws again."""
    rng, unknown = Random(0), Unknown()
    unseen = {plain(text) for topic in (*TOPICS, unknown) for text in topic.unseen}
    assert not unseen & {plain(text) for text in unknown.questions}
    for topic in TOPICS:
        trained = {plain(expand(pattern, topic.words, rng)) for pattern in (*topic.ask * 40, *topic.say)}
        assert not trained & unseen, topic.id
    mixture = Mixture(2)
    asked = {plain(mixture.plain().question) for _ in range(5_000)}
    assert not asked & unseen


def test_values_kept_for_the_evaluation_are_not_trained() -> None:
    lists = Lists.load()
    for kind in ("cities", "people", "companies", "nouns", "models", "things", "currencies", "timezones"):
        assert not set(lists[kind]) & set(lists[f"{kind}_unseen"]), kind


def test_a_pattern_takes_one_branch_of_each_choice_and_keeps_its_slots() -> None:
    words = {"how": "how do i|how (can|could) i"}
    seen = {expand("{how} (run|start) {name}( now|)", words, Random(seed)) for seed in range(200)}
    assert seen == {
        f"{how} {verb} {{name}}{end}"
        for how in ("how do i", "how can i", "how could i")
        for verb in ("run", "start")
        for end in (" now", "")
    }


def test_slots_survive_whatever_is_done_to_a_sentence() -> None:
    for seed in range(300):
        assert "{city_name}" in humanize("what is the weather in {city_name} today", Random(seed))


def test_the_same_seed_gives_the_same_examples(examples: list[Example]) -> None:
    again = Mixture(1)
    assert [again.example() for _ in range(N_EXAMPLES)] == examples


def test_calls_are_json_that_names_an_offered_tool_and_its_required_arguments(examples: list[Example]) -> None:
    calls = 0
    for example in examples:
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in example.tools}
        for text in re.findall(r"<tool_call>\n(.*)\n</tool_call>", example.answer):
            call = json.loads(text)
            assert list(call["arguments"]) == schemas[call["name"]]["required"]
            calls += 1
    assert calls > N_EXAMPLES / 20


def test_copied_arguments_stand_in_the_question(examples: list[Example]) -> None:
    box, rng = Toolbox(Lists.load()), Random(3)
    for _ in range(300):
        tool = box.invented_tool(rng)
        example = box.calling(rng, tool)
        arguments = json.loads(example.answer.split("\n")[1])["arguments"]
        assert all(str(value) in example.question for value in arguments.values())


def test_no_slot_is_left_unfilled(examples: list[Example]) -> None:
    renderer = Renderer()
    for example in examples:
        assert not re.search(r"\{(city|name|p|a|b|thing|noun|phrase|int|number3?)\}", renderer.prompt(example))


def test_what_the_assistant_says_is_learned_and_nothing_else(examples: list[Example], bytewise: Tokenizer) -> None:
    renderer = Renderer()
    for example in examples[:100]:
        encoded = encode(example, renderer, bytewise, Random(0), n_ctx=100_000)
        said = bytewise.decode(t for t, is_learned in zip(encoded.tokens, encoded.learned, strict=True) if is_learned)
        assert said.endswith(renderer.answer(example))
        assert "<|im_start|>" not in said
        n_turns = renderer.prompt(example).count("<|im_start|>assistant")
        assert said.count("<|im_end|>") == n_turns - (not example.ends)


def test_positions_only_ever_jump_ahead_once(examples: list[Example], bytewise: Tokenizer) -> None:
    for seed, example in enumerate(examples[:100]):
        positions = encode(example, Renderer(), bytewise, Random(seed), n_ctx=4096).positions
        steps = [b - a for a, b in pairwise(positions)]
        assert all(step >= 1 for step in steps)
        assert sum(step > 1 for step in steps) <= 1


@pytest.mark.parametrize(
    ("thinking", "header"), [(False, "<|im_start|>assistant\n"), (True, "<|im_start|>assistant thinking\n")]
)
def test_the_prompt_says_whether_to_think(thinking: bool, header: str) -> None:
    example = Example((user("Hi"),), "Hello!", thought="A greeting.", thinking=thinking)
    assert Renderer().prompt(example) == f"<|im_start|>user\nHi<|im_end|>\n{header}"
    assert Renderer().answer(example).startswith("<think>") == thinking


def test_a_long_result_is_cut_at_a_word() -> None:
    assert shorten("short") == "short"
    assert shorten("word " * 100).endswith("word …")
