"""How a context is laid out: how many sequences it has, and whether they share its cells. Pure decisions over facts."""

from __future__ import annotations

from dataclasses import dataclass

from models.runner.settings import RunnerConfig

MAX_SEQUENCES = 256
"""llama.cpp's own limit (LLAMA_MAX_SEQ)."""
CELLS_STEP = 256
"""llama.cpp rounds contexts up to this, and Ollama's clients see it: a sequence may fill what was rounded up."""
LEAST_CTX = 4
LEAST_SPARE, MOST_SPARE = 4, 16
LEAST_SCORED = 16
SCORED_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ContextLayout:
    """`n_slots` sequences run at a time; `n_sequences` counts those besides whose states stay when they have ended."""

    n_ctx: int
    n_ctx_seq: int
    """Tokens that one sequence may fill: `n_ctx`, rounded up, within what the model was trained for."""
    n_cells: int
    """Of all sequences together."""
    n_slots: int
    n_sequences: int
    shares_cells: bool
    """Whether a sequence may use any cell; otherwise each has `n_cells / n_sequences` of its own."""

    @property
    def n_seen(self) -> int:
        """Cells that attention looks at for one token."""
        return self.n_cells if self.shares_cells else self.n_cells // self.n_sequences


def lay_out(
    config: RunnerConfig, *, n_ctx_train: int, is_recurrent: bool, has_window: bool, uses_gpu: bool
) -> ContextLayout:
    """The layout for a model that generates text.

    On a processor, attention looks at every cell that is shared, if only to see that another sequence has it: with 32
    sequences of 1,000 tokens each, a 135M model takes a third longer for a step and half longer for a prompt (without
    Puna's kernels a step several times as long, and a third longer for short ones). To copy a common prefix costs a
    two-hundredth of computing it. But where memory does not suffice for everybody's whole context, cells are shared; a
    GPU copies slowly; and a recurrent state has no cells.
    """
    n_ctx = context_length(config, n_ctx_train)
    n_whole = whole_cells(n_ctx)
    n_slots = max(1, min(config.n_parallel, MAX_SEQUENCES))
    n_cells = min(max(config.n_cells or n_whole * n_slots, n_whole), n_whole * n_slots)
    shares_cells = n_cells < n_whole * n_slots or is_recurrent or uses_gpu
    n_spare = 0 if is_recurrent or has_window or not shares_cells else _spare_sequences(n_slots)
    return ContextLayout(
        n_ctx=n_ctx,
        n_ctx_seq=min(n_whole, n_ctx_train or n_whole),
        n_cells=n_cells,
        n_slots=n_slots,
        n_sequences=n_slots + n_spare,
        shares_cells=shares_cells,
    )


def scored_tokens(n_vocab: int) -> int:
    """Tokens of a prompt whose logits a step may ask for. Their memory is taken when they are, and kept."""
    return max(LEAST_SCORED, SCORED_BYTES // (4 * n_vocab))


def context_length(config: RunnerConfig, n_ctx_train: int) -> int:
    """The context that a sequence really has: no more than the model was trained for, where that is known."""
    return max(LEAST_CTX, min(config.n_ctx, n_ctx_train or config.n_ctx))


def whole_cells(n_ctx: int) -> int:
    """The cells that one sequence with such a context needs when it fills it."""
    return -(-n_ctx // CELLS_STEP) * CELLS_STEP


def _spare_sequences(n_slots: int) -> int:
    """How many sequences may stay in the context beside those that run.

    With attention to everything they cost a row of logits each. A window and a recurrent state have memory of their
    own for every sequence: there, finished ones go to the prompt cache.
    """
    return max(0, min(max(n_slots, LEAST_SPARE), MOST_SPARE, MAX_SEQUENCES - n_slots))
