"""Whether a model computes numbers with a set of adapters: tried in a context of its own, before others are at risk.

Attention passes over cells by a factor of 0, which infinity and NaN survive. So a state that has them spoils what is
computed for everybody who shares its cells, and for those who come after it, until all of them are written over; and
those who take over a recurrent state begin with it times 0.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.errors import ContextLost, OutOfMemory
from models.llama.context import Context, ContextParams
from models.llama.embedder import Embedder
from models.llama.model import Model
from models.llama.outcome import Outcome
from models.llama.vocab import Tokens
from models.runner.settings import AdapterSet

log = logging.getLogger(__name__)

_TEXT = "Once upon a time, in 1 of 42 far-off lands, somebody tried everything at least once!\n"
_N_TOKENS = 16


def computes_numbers(model: Model, params: ContextParams, adapters: AdapterSet) -> bool:
    """Whether a short text comes to finite numbers; yes, if there is no memory to try it. `params` are the usual ones.

    Raises: LoadError.
    """
    tokens = model.vocab.tokenize(_TEXT, add_special=True)[:_N_TOKENS]
    apart = replace(params, n_ctx=256, n_batch=_N_TOKENS, n_ubatch=None, n_seq_max=1, shares_cells=True, chains=())
    try:
        return bool(np.isfinite(_compute(model, apart, adapters, tokens)).all())
    except ContextLost:
        return False
    except OutOfMemory as error:
        log.warning("adapters are used without having been tried: %s", error)
        return True


def _compute(model: Model, params: ContextParams, adapters: AdapterSet, tokens: Tokens) -> npt.NDArray[np.float32]:
    if model.pooling_type is not None:
        embedder = Embedder(model, params)
        try:
            return embedder.embed([tokens], adapters)
        finally:
            embedder.close()
    context = Context(model, params)
    try:
        context.use_adapters(adapters)
        context.batch.add(0, tokens, 0, output=True)
        if context.decode() is not Outcome.DONE:
            raise ContextLost("a short text could not be computed")
        return context.logits().copy()
    finally:
        context.close()
