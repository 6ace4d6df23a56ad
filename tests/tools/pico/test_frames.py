from __future__ import annotations

from random import Random

import pytest

from tools.pico.frames import About, ask_for, bare, inflect


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("delete", ("deletes", "deleted", "deleting")),
        ("pull", ("pulls", "pulled", "pulling")),
        ("run", ("runs", "run", "running")),
        ("free", ("frees", "freed", "freeing")),
        ("copy", ("copies", "copied", "copying")),
        ("finish", ("finishes", "finished", "finishing")),
        ("get rid of", ("gets rid of", "got rid of", "getting rid of")),
        ("turn off", ("turns off", "turned off", "turning off")),
    ],
)
def test_a_verb_is_inflected_in_its_first_word(verb: str, forms: tuple[str, str, str]) -> None:
    assert inflect(verb) == forms


@pytest.mark.parametrize(
    ("noun", "without"), [("a model", "model"), ("my models", "models"), ("models", "models"), ("the gpu", "gpu")]
)
def test_an_article_is_taken_away(noun: str, without: str) -> None:
    assert bare(noun) == without


def test_a_question_about_an_action_names_it_and_leaves_no_slot() -> None:
    for seed in range(500):
        question = ask_for("delete", "a model", Random(seed))
        assert "delet" in question
        assert "model" in question
        assert "{" not in question


def test_models_are_deleted_and_a_model_is() -> None:
    many = {ask_for("delete", "models", Random(seed)) for seed in range(2000)}
    one = {ask_for("delete", "a model", Random(seed)) for seed in range(2000)}
    assert "how are models deleted" in many
    assert "how is a model deleted" in one


def test_a_table_gives_the_kinds_of_questions_that_it_has_words_for() -> None:
    about = About.parse({"do": ["pull|get: a model|models"], "able": "gpus|cuda"})
    assert about.kinds == ("action", "able")
    assert About.parse({}).kinds == ()
    assert any(word in about.question("able", Random(1)) for word in ("gpus", "cuda"))


def test_slots_that_are_filled_later_stay() -> None:
    about = About.parse({"thing": ["a {noun}"]})
    assert all("{noun}" in about.question("thing", Random(seed)) for seed in range(50))
