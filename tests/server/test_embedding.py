"""The path from a request to its vectors."""

from __future__ import annotations

import pytest

from models.errors import ModelNotFound, UnusableOutput
from models.runner.messages import InputCut
from registry.errors import ManifestNotFound
from registry.names import ModelName
from tests.server.generation_case import ScriptedRunner, embed, run, serving


def test_embeddings_are_rows_in_input_order() -> None:
    runner = ScriptedRunner()
    runner.vectors = [1, 0, 0, 1]
    generation, _ = serving(runner)
    answer = run(generation.embed(embed(inputs=("a", "b"))))
    assert [list(row) for row in answer.vectors] == [[1, 0], [0, 1]]
    assert answer.n_tokens == 7


def test_which_inputs_were_cut_is_known() -> None:
    runner = ScriptedRunner()
    runner.vectors, runner.cuts = [1, 0], (InputCut(1, 900, 6),)
    generation, _ = serving(runner)
    assert run(generation.embed(embed(inputs=("a", "b" * 900)))).cuts == (InputCut(1, 900, 6),)


def test_inputs_of_tokens_stand_for_their_text() -> None:
    runner = ScriptedRunner()
    runner.vectors = [1, 0]
    generation, _ = serving(runner)
    run(generation.embed(embed(inputs=("a", (104, 105)))))
    assert runner.asked[0]["inputs"] == ("a", "hi")


def test_fewer_dimensions_are_cut_and_made_unit_again() -> None:
    runner = ScriptedRunner()
    runner.vectors = [3, 4, 12]
    generation, _ = serving(runner)
    cut = run(generation.embed(embed(inputs=("a",), dimensions=2))).vectors[0]
    assert list(cut) == pytest.approx([0.6, 0.8])
    assert list(run(generation.embed(embed(inputs=("a",), dimensions=5))).vectors[0]) == [3, 4, 12]


def test_no_input_only_loads() -> None:
    runner = ScriptedRunner()
    generation, scheduler = serving(runner)
    assert run(generation.embed(embed())).vectors == ()
    assert (len(scheduler.wanted), runner.asked) == (1, [])


def test_vectors_that_are_no_numbers_are_refused() -> None:
    runner = ScriptedRunner()
    runner.vectors = [float("nan"), 1]
    generation, _ = serving(runner)
    with pytest.raises(UnusableOutput, match="embedding contains NaN or Inf values"):
        run(generation.embed(embed(inputs=("a",))))


def test_a_missing_embedding_model_is_told_in_other_words() -> None:
    generation, _ = serving(ScriptedRunner(), ManifestNotFound(ModelName.parse("m")))
    with pytest.raises(ModelNotFound, match='model "m" not found, try pulling it first'):
        run(generation.embed(embed(inputs=("a",))))
