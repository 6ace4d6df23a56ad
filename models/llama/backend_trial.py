"""Whether the backend should pick tokens: tried with the model on this machine, in contexts of their own.

What is tried: that the backend has all operations, that it picks tokens which have a chance, and, where that decides,
that a step ends sooner than when the logits are copied to the host and sampled there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from models.errors import ContextLost, LoadError
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.runner.settings import BackendSampling, Sampling
from models.sampling.backend import GREEDY, BackendChain, chain_for
from models.sampling.passes import passes_for
from models.sampling.sampler import Sampler

log = logging.getLogger(__name__)

_N_CTX = 256
_MOST_SEQUENCES = 4
_ROUNDS, _FIRST, _STEPS = 3, 2, 6
"""Each way is tried in turn, so often, each time for so many steps after the first ones, which plan anew."""
_CLEARLY = 0.98
_LONG_S = 0.1
"""A step that takes so long cannot become clearly faster by what sampling takes: it is not tried any further."""
_CLOSE = 0.5
"""How far logits of two contexts may be apart."""


def usual_chain(n_vocab: int) -> BackendChain:
    """That of requests that say nothing."""
    return chain_for(Sampling(), n_vocab) or GREEDY  # a vocabulary of less than 40 tokens


def backend_should_pick(
    model: Model, params: ContextParams, wanted: BackendSampling, *, n_sequences: int, is_gpu: bool
) -> bool:
    """Whether a context with these parameters should get chains.

    `n_sequences`: how many run at once; `is_gpu`: a GPU computes at least a part.
    """
    if wanted is BackendSampling.OFF or (wanted is BackendSampling.AUTO and not is_gpu):
        return False
    try:
        with _trial(model, params, min(n_sequences, _MOST_SEQUENCES)) as trial:
            problem = trial.problem()
            if problem:
                log.warning("the backend picks no tokens: %s", problem)
                return False
            return wanted is BackendSampling.ON or trial.is_faster(time.perf_counter)
    except (LoadError, ContextLost) as error:  # OutOfMemory is one
        log.warning("the backend picks no tokens, as that could not be tried: %s", error)
        return False


@contextmanager
def _trial(model: Model, params: ContextParams, n: int) -> Iterator[Trial]:
    """Contexts with and without chains; they are gone before the one is made that stays, and are not counted."""
    counted = replace(native_log.buffers)
    apart = replace(params, n_ctx=_N_CTX * n, n_batch=2 * n, n_ubatch=None, n_seq_max=n, shares_cells=True, chains=())
    opened: list[Context] = []
    try:
        for chains in ((), (usual_chain(model.vocab.n_tokens),) * n):
            opened.append(Context(model, replace(apart, chains=chains)))
        yield Trial(plain=opened[0], picking=opened[1], n_sequences=n)
    finally:
        for context in opened:
            context.close()
        native_log.buffers = counted


@dataclass(slots=True)
class Trial:
    """Two contexts that compute the same, of which one picks tokens itself."""

    plain: Context
    picking: Context
    n_sequences: int
    n_steps: int = 0

    def problem(self) -> str | None:
        """Why the backend must not pick tokens. None: there is no reason."""
        usual = usual_chain(self.plain.n_vocab)
        for chain in (GREEDY, usual):
            for seq_id in range(self.n_sequences):
                self.picking.pick_by(seq_id, chain)
            if missing := self.picking.unsupported_filters:
                return f"it has not all operations for {', '.join(sorted(missing))}"
            self._decode(self.plain)
            self._decode(self.picking)
            self.n_steps += 1
            for row, logits in enumerate(self.plain.logits()):
                token = self.picking.picked(row)
                least = np.partition(logits, -chain.top_k)[-chain.top_k]
                if token is None or not (token < len(logits) and logits[token] >= least - _CLOSE):
                    return "it picks tokens that have no chance"
        return None

    def is_faster(self, clock: Callable[[], float]) -> bool:
        """Whether a step in which the backend picks the tokens clearly takes less time."""
        sampler = Sampler(Sampling(), passes_for(self.plain.n_vocab))
        rows = range(self.n_sequences)

        def sample() -> None:
            for logits in self.plain.logits():
                sampler.sample(logits)

        def read() -> None:
            for row in rows:
                self.picking.picked(row)

        taken: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(_ROUNDS):
            for context, choose, times in ((self.plain, sample, taken[False]), (self.picking, read, taken[True])):
                for i in range(_FIRST + _STEPS):
                    started = clock()
                    self._decode(context, i)
                    choose()
                    elapsed_s = clock() - started
                    if i >= _FIRST and elapsed_s > _LONG_S:
                        return False
                    if i >= _FIRST:
                        times.append(elapsed_s)
            self.n_steps += _FIRST + _STEPS
        host_s, backend_s = median(taken[False]), median(taken[True])
        is_faster = backend_s < host_s * _CLEARLY
        log.info(
            "tokens are picked on the %s: a step of %d sequences takes %.2f ms with sampling there, %.2f ms here",
            *("backend" if is_faster else "host", self.n_sequences, backend_s * 1e3, host_s * 1e3),
        )
        return is_faster

    def _decode(self, context: Context, ahead: int = 0) -> None:
        """A step further for all sequences; what they stand for does not matter. Raises: ContextLost."""
        position = self.n_steps + ahead
        batch = context.batch
        batch.clear()
        for seq_id in range(self.n_sequences):
            token = (7 * position + seq_id) % context.n_vocab
            batch.add(seq_id, np.array([token], dtype=np.int32), position, output=True)
        if context.decode() is not Outcome.DONE:
            raise ContextLost("a step could not be computed")
