"""What the backend may be asked to pick, and what not."""

from __future__ import annotations

from math import inf, nan

import msgspec
import pytest

from models.runner.settings import Sampling
from models.sampling.backend import GREEDY, BackendChain, chain_for

CASES = {
    "defaults": ({}, BackendChain(40, 0.9, 0.8)),
    "no nucleus": ({"top_p": 1.0}, BackendChain(40, 1.0, 0.8)),
    "a nucleus of more than all": ({"top_p": 1.7}, BackendChain(40, 1.0, 0.8)),
    "a nucleus of one": ({"top_p": 0.0}, BackendChain(40, 0.0, 0.8)),
    "as many as it may have": ({"top_k": 128}, BackendChain(128, 0.9, 0.8)),
    "greedy": ({"temperature": 0.0}, GREEDY),
    "greedy below zero": ({"temperature": -1.0}, GREEDY),
    "greedy, whatever the filters": ({"temperature": 0.0, "top_k": 0, "top_p": 0.1, "min_p": 0.5}, GREEDY),
    "greedy with a seed that means nothing": ({"temperature": 0.0, "seed": 5}, GREEDY),
    "one candidate": ({"top_k": 1}, GREEDY),
    "penalties that change nothing": ({"repeat_penalty": 1.5, "repeat_last_n": 0}, BackendChain(40, 0.9, 0.8)),
    "a seed": ({"seed": 0}, None),
    "all candidates": ({"top_k": 0}, None),
    "too many candidates": ({"top_k": 129}, None),
    "min_p": ({"min_p": 0.05}, None),
    "typical": ({"typical_p": 0.9}, None),
    "greedy among the typical": ({"temperature": 0.0, "typical_p": 0.9}, None),
    "repeat penalty": ({"repeat_penalty": 1.1}, None),
    "presence penalty": ({"presence_penalty": 0.1}, None),
    "frequency penalty, greedy": ({"temperature": 0.0, "frequency_penalty": -0.1}, None),
    "too cold to divide by": ({"temperature": 1e-4}, None),
    "too hot to divide by": ({"temperature": inf}, None),
    "temperature is no number": ({"temperature": nan}, None),
    "top_p is no number": ({"top_p": nan}, None),
    "min_p is no number": ({"min_p": nan}, None),
}


@pytest.mark.parametrize(("options", "chain"), CASES.values(), ids=CASES)
def test_the_chain_of_options(options: dict[str, float], chain: BackendChain | None) -> None:
    assert chain_for(msgspec.structs.replace(Sampling(), **options), n_vocab=32_000) == chain


@pytest.mark.parametrize(("n_vocab", "can"), [(39, False), (40, True)])
def test_top_k_is_never_more_than_the_vocabulary(n_vocab: int, can: bool) -> None:
    assert (chain_for(Sampling(), n_vocab) is not None) is can


def test_equal_options_share_their_chain() -> None:
    assert chain_for(Sampling(temperature=0.3), 100) is chain_for(Sampling(temperature=0.3), 100)
