"""What sequences take by the estimate, against what llama.cpp says when the context is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.gguf.facts import facts_of
from models.gguf.reader import read_gguf
from models.llama.binding import start_backends
from models.llama.context import Context, ContextParams
from models.llama.logs import native_log
from models.llama.model import Model
from models.memory import memory_need
from models.runner.layout import lay_out
from models.runner.settings import RunnerConfig
from tests.integration import tiny_architectures

pytestmark = pytest.mark.model


def said_bytes(model: Model, config: RunnerConfig) -> int:
    """The buffers of a context for this configuration."""
    layout = lay_out(
        config,
        n_ctx_train=model.n_ctx_train,
        is_recurrent=model.is_recurrent,
        has_window=model.n_swa > 0,
        uses_gpu=False,
    )
    params = ContextParams(
        n_ctx=layout.n_cells,
        n_batch=config.n_batch,
        n_seq_max=layout.n_sequences,
        n_threads=1,
        shares_cells=layout.shares_cells,
    )
    before = native_log.buffers.host_bytes
    context = Context(model, params)
    assert context.n_cells == layout.n_cells
    context.close()
    return native_log.buffers.host_bytes - before


@pytest.mark.parametrize("architecture", ["attention", "sliding window", "hybrid", "short convolutions"])
def test_further_sequences_take_what_was_estimated(architecture: str, tmp_path: Path) -> None:
    native_log.install()
    start_backends()
    path = tiny_architectures.write(architecture, tmp_path / "model.gguf")
    facts = facts_of(read_gguf(path), path)
    with Model(str(path), n_gpu_layers=0) as model:
        alone = RunnerConfig(str(path), n_ctx=2048, n_parallel=1, n_batch=512, n_gpu_layers=0, n_threads=1)
        said_alone, need_alone = said_bytes(model, alone), memory_need(facts, alone).total_bytes
        for n_parallel, n_cells in ((4, 0), (4, 4096), (8, 0), (3, 2048)):
            config = RunnerConfig(str(path), 2048, n_parallel, 512, 0, 1, n_cells=n_cells)
            said = said_bytes(model, config) - said_alone
            need = memory_need(facts, config).total_bytes - need_alone
            assert need == pytest.approx(said, rel=0.02, abs=40_000), (n_parallel, n_cells)
