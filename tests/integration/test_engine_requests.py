"""What a request may ask of sampling, through a real runner process with a tiny model."""

from __future__ import annotations

import pytest

from models.errors import BadRequest, ContextExceeded
from models.runner.process import RunnerProcess
from models.runner.settings import Constraint, Sampling, Thought, ThoughtBudget
from tests.integration.test_engine_worker import GREEDY, Model, chat, say, with_runner

pytestmark = pytest.mark.model

PROMPT = chat("count")


def greedily(**options: object) -> Sampling:
    return Sampling(temperature=0, **options)  # type: ignore[arg-type]


def test_a_grammar_forces_text_that_is_computed_at_once_and_counted(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        grammar = Constraint("gbnf", 'root ::= "The answer is " ("yes" | "no") ", and nothing else."')
        text, end = await say(runner, PROMPT, constraint=grammar)
        assert text in ("The answer is yes, and nothing else.", "The answer is no, and nothing else.")
        assert end.n_generated >= 5
        again, _ = await say(runner, PROMPT, constraint=grammar)  # from the cells of before
        assert again == text
        expression = Constraint("regex", "[0-9]{3}-[0-9]{4}")
        text, _ = await say(runner, PROMPT, constraint=expression)
        assert len(text) == 8 and text[3] == "-" and text.replace("-", "").isdigit()
        with pytest.raises(BadRequest, match="line 1, column 10: there is no rule 'b'"):
            await say(runner, PROMPT, constraint=Constraint("gbnf", "root ::= b"))

    with_runner(tiny_model("chatml"), work)


def test_a_thought_is_ended_and_its_constraint_begins(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        thought = Thought("<think>", "</think>", is_open=True)
        free, _ = await say(runner, PROMPT, n_predict=12)
        text, end = await say(runner, PROMPT, thought_budget=ThoughtBudget(thought, 3), n_predict=20)
        before, tag, _ = text.partition("</think>")
        assert tag and free.startswith(before) and end.n_generated <= 20
        constraint = Constraint("regex", "(yes|no)!", thought)
        text, _ = await say(runner, PROMPT, constraint=constraint, thought_budget=ThoughtBudget(thought, 0))
        assert text in ("</think>yes!", "</think>no!")

    with_runner(tiny_model("chatml"), work)


def test_a_prompt_of_tokens_says_what_its_text_says(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        tokens = await runner.tokenize(PROMPT, add_special=True)
        assert (await say(runner, "", tokens=tokens, n_predict=9))[0] == (await say(runner, PROMPT, n_predict=9))[0]
        with pytest.raises(BadRequest, match="invalid token 99999999"):
            await say(runner, "", tokens=(99999999,))
        with pytest.raises(ContextExceeded) as raised:
            await say(runner, "", tokens=tokens * 1000, truncate=False)
        assert (raised.value.n_prompt, raised.value.n_ctx) == (len(tokens) * 1000, 2048)

    with_runner(tiny_model("chatml"), work)


def test_further_samplers_do_as_they_say(tiny_model: Model) -> None:
    async def work(runner: RunnerProcess) -> None:
        plain, _ = await say(runner, PROMPT, n_predict=30)
        bias = greedily(logit_bias=(("x", 1000.0),))
        said_x, _ = await say(runner, PROMPT, sampling=bias, n_predict=3)
        assert set(said_x.strip()) == {"x"}
        for options in (
            Sampling(seed=1, mirostat=1),
            Sampling(seed=1, mirostat=2, mirostat_tau=3.0),
            Sampling(seed=1, xtc_probability=1.0, xtc_threshold=0.05, top_n_sigma=2.0, dynatemp_range=0.3),
            Sampling(seed=1, dry_multiplier=1.0, dry_penalty_last_n=-1),
            Sampling(seed=1, samplers=("min_p", "temperature"), min_p=0.05),
            Sampling(seed=1, samplers=()),
            Sampling(seed=1, samplers=("min_p", "adaptive_p"), min_p=0.01, adaptive_target=0.5),
            Sampling(seed=1, top_p=0.1, min_keep=3, ignore_eos=True),
        ):
            said = [await say(runner, PROMPT, sampling=options, n_predict=30) for _ in range(2)]
            assert said[0][0] == said[1][0], options
            assert said[0][1].n_generated > 0
        assert (await say(runner, PROMPT, sampling=GREEDY, n_predict=30))[0] == plain

    with_runner(tiny_model("chatml"), work)
