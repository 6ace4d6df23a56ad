"""How contexts are laid out, as a table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.runner.layout import MAX_SEQUENCES, ContextLayout, context_length, lay_out, whole_cells
from models.runner.settings import RunnerConfig

CONFIG = RunnerConfig(model_path="m", n_ctx=4096, n_parallel=4, n_batch=512, n_gpu_layers=-1, n_threads=0)
ATTENTION: dict[str, Any] = {"n_ctx_train": 8192, "is_recurrent": False, "has_window": False, "uses_gpu": False}


def layout(asked: dict[str, Any], **model: Any) -> ContextLayout:
    return lay_out(msgspec.structs.replace(CONFIG, **asked), **(ATTENTION | model))


@pytest.mark.parametrize(
    ("asked", "model", "expected"),
    [
        pytest.param({}, {}, (16384, 4, 4, False), id="on a processor each has its own"),
        pytest.param({"n_cells": 16384}, {}, (16384, 4, 4, False), id="also where that was counted out"),
        pytest.param({"n_cells": 16128}, {}, (16128, 4, 8, True), id="too few for all: shared, and endings may stay"),
        pytest.param({"n_cells": 100}, {}, (4096, 4, 8, True), id="one has its whole context, whatever was said"),
        pytest.param({"n_cells": 99999}, {}, (16384, 4, 4, False), id="nobody has more than that"),
        pytest.param({"n_parallel": 1}, {}, (4096, 1, 1, False), id="a single one"),
        pytest.param({"n_parallel": 0}, {}, (4096, 1, 1, False), id="there is always one"),
        pytest.param({}, {"uses_gpu": True}, (16384, 4, 8, True), id="on a GPU all is shared"),
        pytest.param({"n_parallel": 1}, {"uses_gpu": True}, (4096, 1, 5, True), id="there four stay at least"),
        pytest.param({"n_parallel": 12}, {"uses_gpu": True}, (12 * 4096, 12, 24, True), id="and as many as run"),
        pytest.param({"n_parallel": 60}, {"uses_gpu": True}, (60 * 4096, 60, 76, True), id="but sixteen at most"),
        pytest.param(
            {"n_parallel": 250}, {"uses_gpu": True}, (250 * 4096, 250, 256, True), id="and what llama.cpp can"
        ),
        pytest.param({"n_parallel": 999}, {}, (256 * 4096, 256, 256, False), id="that is the limit for all"),
        pytest.param({}, {"has_window": True}, (16384, 4, 4, False), id="windows on a processor"),
        pytest.param({"n_cells": 8192}, {"has_window": True}, (8192, 4, 4, True), id="each window costs: none stays"),
        pytest.param({}, {"has_window": True, "uses_gpu": True}, (16384, 4, 4, True), id="windows on a GPU"),
        pytest.param({}, {"is_recurrent": True}, (16384, 4, 4, True), id="a state has no cells to be apart in"),
        pytest.param({"n_ctx": 1000}, {}, (4 * 1024, 4, 4, False), id="contexts are rounded up"),
        pytest.param({"n_ctx": 1000, "n_cells": 4096}, {}, (4096, 4, 4, False), id="and counted so"),
        pytest.param(
            {"n_ctx": 99999}, {}, (4 * 8192, 4, 4, False), id="nobody needs more than the model was trained for"
        ),
    ],
)
def test_sequences_and_their_cells(asked: dict[str, Any], model: dict[str, Any], expected: tuple[int, ...]) -> None:
    found = layout(asked, **model)
    assert (found.n_cells, found.n_slots, found.n_sequences, found.shares_cells) == expected
    assert found.n_slots <= found.n_sequences <= MAX_SEQUENCES
    assert found.shares_cells or found.n_cells == found.n_sequences * whole_cells(found.n_ctx)


@pytest.mark.parametrize(
    ("n_ctx", "n_ctx_train", "n_ctx_seq"),
    [
        (4096, 8192, 4096),
        (1000, 8192, 1024),
        (1000, 1000, 1000),
        (1000, 1010, 1010),
        (1000, 0, 1024),
    ],
    ids=["even", "rounded up", "all that it was trained for", "rounded up within that", "unknown"],
)
def test_a_sequence_may_fill_what_was_rounded_up(n_ctx: int, n_ctx_train: int, n_ctx_seq: int) -> None:
    assert layout({"n_ctx": n_ctx}, n_ctx_train=n_ctx_train).n_ctx_seq == n_ctx_seq


@pytest.mark.parametrize(
    ("n_ctx", "n_ctx_train", "length"),
    [(2048, 4096, 2048), (9999, 4096, 4096), (9999, 0, 9999), (1, 4096, 4), (1, 0, 4)],
)
def test_the_context_that_a_sequence_has(n_ctx: int, n_ctx_train: int, length: int) -> None:
    assert context_length(msgspec.structs.replace(CONFIG, n_ctx=n_ctx), n_ctx_train) == length
