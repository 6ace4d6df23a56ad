"""Chains that a context applies itself: the tokens of their sequences are picked where the logits are computed.

Source: llama.h, "backend sampling", of which little is said there. Found in llama-context.cpp and llama-sampler.cpp:
* a chain may be given once only, to one sequence, and must live until another took its place, or the context is gone;
* to give one, or take it away, makes the context plan its graphs anew before the next decode, all of them, with buffers
  that are freed and allocated again: some milliseconds, and the end of the process if there is no memory any more. So
  those that will be needed are given when the context is made, where that is a failure like any other, and chains stay
  when a request ends, for the next one there that asks for the same;
* a row of logits comes to the host if any sequence of the batch has no chain; then rows of all do;
* a context that may give several outputs of a sequence redraws for tokens that it is not told were accepted: ours are
  made for one output;
* between a decode and reading what came of it nothing may change.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

from models.llama.binding import lib
from models.llama.chain import make_chain, native_seed
from models.sampling.backend import GREEDY, BackendChain


class BackendChains:
    """Those that a context has, at most one for each sequence. Owns them: free them after the context."""

    def __init__(self) -> None:
        self._given: dict[int, tuple[BackendChain, Any]] = {}

    def prepare(self, chains: Iterable[BackendChain]) -> Any:
        """Those of the first sequences, from the beginning, as a context that is made takes them; others are freed."""
        self.free()
        self._given = {seq_id: (chain, _make(chain)) for seq_id, chain in enumerate(chains)}
        configs = (lib.llama_sampler_seq_config * len(self._given))()
        for config, (seq_id, (_, native)) in zip(configs, self._given.items(), strict=True):
            config.seq_id, config.sampler = seq_id, ctypes.cast(native, ctypes.c_void_p)
        return configs

    def give(self, context: Any, seq_id: int, chain: BackendChain | None) -> None:
        """Let a context pick a sequence's tokens so from the next decode on, or (None) leave them to others."""
        given, native = self._given.get(seq_id, (None, None))
        if given is chain or given == chain:
            return
        if chain is None:
            del self._given[seq_id]
            lib.llama_set_sampler(context, seq_id, None)
        else:
            self._given[seq_id] = chain, _make(chain)
            was_taken = lib.llama_set_sampler(context, seq_id, self._given[seq_id][1])
            assert was_taken, "a context that takes none is not given any"
        if native is not None:
            lib.llama_sampler_free(native)

    def unsupported(self) -> set[str]:
        """The filters for which the backend lacks an operation, once the context is made."""
        names = {name for _, native in self._given.values() for name in _names(native)}
        return {name[1:] for name in names if name.startswith("-")}

    def free(self) -> None:
        given, self._given = self._given, {}
        for _, native in given.values():
            lib.llama_sampler_free(native)


def _make(chain: BackendChain) -> Any:
    """The most likely token is found twice, since what is left at the end of a chain is copied to the host: "greedy"
    leaves all of the vocabulary, and top_k alone may pick another one of equal ones each time.
    """
    if chain == GREEDY:
        return make_chain(lib.llama_sampler_init_greedy(), lib.llama_sampler_init_top_k(1))
    return make_chain(
        lib.llama_sampler_init_top_k(chain.top_k),
        lib.llama_sampler_init_top_p(chain.top_p, 0),
        lib.llama_sampler_init_temp(chain.temperature),
        lib.llama_sampler_init_dist(native_seed(None)),
    )


def _names(native: Any) -> Iterator[str]:
    """The names of a chain's members: with a sign, once it is known whether the backend has them."""
    for i in range(lib.llama_sampler_chain_n(native)):
        yield lib.llama_sampler_name(lib.llama_sampler_chain_get(native, i)).decode()
