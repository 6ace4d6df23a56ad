"""What is cut when a prompt, or a generation, is longer than the context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import ContextExceeded

Tokens = npt.NDArray[np.int32]

TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)


@dataclass(frozen=True, slots=True)
class ContextRules:
    """Sizes in tokens. `n_ctx`: as asked for; `n_ctx_seq`: what a sequence really has, a little more."""

    n_ctx: int
    n_ctx_seq: int
    shift: bool
    adds_bos: bool


def fit_prompt(tokens: Tokens, n_bytes: int, *, n_keep: int, truncate: bool, rules: ContextRules) -> Tokens:
    """The prompt without its middle, if it has to lose it. Raises: ContextExceeded.

    Compat: prompting 3.2; the last refusal is llama.cpp's server's own.
    """
    n_ctx = rules.n_ctx
    limit = n_ctx - 1
    if truncate and n_ctx > 1 and n_bytes >= n_ctx and len(tokens) > limit:
        if not rules.shift:
            raise ContextExceeded(len(tokens), n_ctx, TOO_LONG)
        keep = len(tokens) if n_keep < 0 else n_keep
        keep = min(keep + int(rules.adds_bos), limit)
        tokens = np.concatenate([tokens[:keep], tokens[keep + len(tokens) - shortened_size(n_ctx, keep) :]])
    if len(tokens) >= rules.n_ctx_seq:
        raise ContextExceeded(len(tokens), rules.n_ctx_seq, _exceeds(len(tokens), rules.n_ctx_seq))
    return tokens


def shortened_size(n_ctx: int, n_keep: int) -> int:
    """How many tokens stay of a prompt that exceeds the context: its beginning, and half of what else could be.

    Compat: prompting 3.2.
    """
    if n_ctx <= 1:
        return 0
    keep = max(0, min(n_keep, n_ctx - 1))
    return n_ctx - max((n_ctx - keep) // 2, 1)


def _exceeds(n_tokens: int, n_ctx: int) -> str:
    """Compat: http-api 4.5, the engine's JSON body stands as the error text."""
    return (
        f'{{"error":{{"code":400,"message":"request ({n_tokens} tokens) exceeds the available context size '
        f'({n_ctx} tokens), try increasing it","type":"exceed_context_size_error",'
        f'"n_prompt_tokens":{n_tokens},"n_ctx":{n_ctx}}}}}'
    )


@dataclass(frozen=True, slots=True)
class Shift:
    """Drop `n_discard` tokens after the first `n_keep`; the rest moves up."""

    n_keep: int
    n_discard: int


def plan_shift(n_computed: int, n_prompt: int, n_keep: int, rules: ContextRules) -> Shift:
    """How a full context makes room: half of what need not be kept goes. Compat: llama.cpp's server, context shift."""
    keep = n_prompt if n_keep < 0 else n_keep
    keep = max(0, min(keep + int(rules.adds_bos), rules.n_ctx_seq - 4))
    n_left = n_computed - keep
    return Shift(keep, max(0, min(n_left // 2, n_left - 1)))
