"""Tokens that a grammar names, against llama.cpp's own grammars, on the built-in model's vocabulary."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest

from models.builtin.install import WEIGHTS
from models.engine.context_end import ContextRules
from models.engine.loop import Engine
from models.engine.prepare import Preparer
from models.llama.binding import lib, start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.vocab import Vocab
from models.runner.lanes import run_through
from models.runner.messages import Chunk, Finished, Generate, Reason
from models.runner.settings import Constraint, Sampling
from models.sampling import trial
from models.sampling.grammar import Grammars

pytestmark = pytest.mark.model

N_WALKS = 6
N_STEPS = 12


@pytest.fixture(autouse=True)
def without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ends", lambda lark, budget, n_tokens: True)


@pytest.fixture(scope="module")
def pico() -> Model:
    native_log.install()
    start_backends()
    return Model(str(WEIGHTS), n_gpu_layers=0, main_gpu=None, use_mmap=True)


@pytest.fixture(scope="module")
def grammars(pico: Model) -> Grammars:
    return Grammars(pico.vocab)


class LlamaGrammar:
    """What llama.cpp lets through."""

    def __init__(self, vocab: Vocab, text: str) -> None:
        self._handle = lib.llama_sampler_init_grammar(vocab.handle, text.encode(), b"root")
        assert self._handle, "llama.cpp refused the grammar"
        self._n = vocab.n_tokens

    def allowed(self) -> set[int]:
        candidates = (lib.llama_token_data * self._n)(*((token, 0.0, 0.0) for token in range(self._n)))
        first = ctypes.cast(candidates, lib.llama_token_data_p)
        array = lib.llama_token_data_array(data=first, size=self._n, selected=-1, sorted=False)
        lib.llama_sampler_apply(self._handle, ctypes.byref(array))
        return {one.id for one in candidates if one.logit > -np.inf}

    def accept(self, token: int) -> None:
        lib.llama_sampler_accept(self._handle, token)

    def close(self) -> None:
        lib.llama_sampler_free(self._handle)


OPEN = "<|im_start|>"
NAMES = {
    "CLOSED": "</think>",
    "CLOSE": "<[600]>",
    "WORD": "<[601]>",
    "OTHER": "<[602]>",
    "OPEN": OPEN,
    "THINK": "<think>",
}
"""The built-in model's one control token that ends no reply, three words, and two tags that are tokens of text."""

GRAMMARS = [
    "root ::= OPEN",
    "root ::= !OPEN{3} OPEN",
    "root ::= OPEN !CLOSE* CLOSE",
    "root ::= !CLOSE* CLOSE WORD",
    "root ::= !OPEN* OPEN [a-z]*",
    "root ::= WORD OTHER | OTHER WORD",
    "root ::= !WORD WORD | WORD !WORD | !OTHER OTHER",
    "root ::= x+\nx ::= OPEN y CLOSE | WORD\ny ::= !CLOSE{1,4}",
    "root ::= !WORD* OTHER WORD",
    "root ::= OPEN tree\ntree ::= WORD | OTHER tree tree",
    "root ::= OPEN [a-z ]{3,20} OPEN",
    "root ::= THINK !CLOSED* CLOSED [a-z]*",
    "root ::= (THINK !CLOSED{0,5} CLOSED)? WORD+",
]


def spelled(grammar: str) -> str:
    for name, token in NAMES.items():
        grammar = grammar.replace(name, token)
    return grammar


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_the_tokens_that_may_come_are_those_that_llama_cpp_lets_through(
    pico: Model, grammars: Grammars, grammar: str
) -> None:
    source = random.Random(grammar)
    for _ in range(N_WALKS):
        ours = run_through(grammars.matcher(Constraint("gbnf", spelled(grammar))))
        theirs = LlamaGrammar(pico.vocab, spelled(grammar))
        for _ in range(N_STEPS):
            allowed = set(ours.allowed().tolist()) - pico.vocab.end_tokens
            may_end = all(map(ours.allows, pico.vocab.end_tokens))
            assert theirs.allowed() == whole(allowed, pico.vocab) | (pico.vocab.end_tokens if may_end else set())
            if not allowed:
                break
            token = pick(sorted(whole(allowed, pico.vocab)), source)
            ours.accept(token)
            theirs.accept(token)
        theirs.close()


def whole(tokens: set[int], vocab: Vocab) -> set[int]:
    """Those that are whole characters: of the others llama.cpp lets none through, though its manual says it does."""
    return {
        token
        for token in tokens
        if "\N{REPLACEMENT CHARACTER}" not in vocab.raw_piece(token).decode("utf-8", "replace")
    }


def pick(allowed: list[int], source: random.Random) -> int:
    """Every other one is a token with a name, if there is one."""
    named = [token for token in (1, 3, 4, 600, 601, 602) if token in allowed]
    return source.choice(named if named and source.random() < 0.5 else allowed)


@pytest.mark.parametrize(
    ("grammar", "expected"),
    [
        ("root ::= WORD OTHER CLOSE", "manytestAM"),
        ('root ::= OPEN "yes" OPEN "no"', f"{OPEN}yes{OPEN}no"),
        ('root ::= THINK "so" CLOSED "no"', "<think>so</think>no"),
        ("root ::= WORD{3} OPEN OTHER", f"manymanymany{OPEN}test"),
    ],
)
def test_a_greedy_reply_has_the_tokens_that_are_named(pico: Model, grammar: str, expected: str) -> None:
    assert reply_of(pico, grammar) == (expected, Reason.STOP)


@pytest.mark.parametrize("banned", ["WORD", "OPEN"])
def test_a_greedy_reply_has_no_token_that_may_not_come(pico: Model, banned: str) -> None:
    text, reason = reply_of(pico, f"root ::= !{banned}* {banned}", n_predict=40)
    spelling = {"WORD": "many", "OPEN": OPEN}[banned]
    assert reason is Reason.LIMIT or text.index(spelling) == len(text) - len(spelling)


def reply_of(pico: Model, grammar: str, n_predict: int = 100) -> tuple[str, Reason]:
    context = Context(pico, ContextParams(n_ctx=256, n_batch=256, n_seq_max=1, n_threads=1))
    rules = ContextRules(n_ctx=256, n_ctx_seq=256, shift=False, adds_bos=pico.vocab.adds_bos)
    engine = Engine(context, pico.vocab, rules, n_slots=1)
    constraint = Constraint("gbnf", spelled(grammar))
    request = Generate(
        1, "What is it?", Sampling(temperature=0), n_predict=n_predict, constraint=constraint, shown=(OPEN,)
    )
    engine.submit(run_through(Preparer(pico.vocab, rules).prepare(request)))
    text = ""
    while True:
        for event in engine.step():
            if isinstance(event, Finished):
                context.close()
                return text, event.reason
            assert isinstance(event, Chunk)
            text += event.text
