"""What several of these tests load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.llama.binding import start_backends
from models.llama.logs import native_log
from models.llama.model import Model
from tests.integration import tiny_architectures


@pytest.fixture(scope="module", params=tiny_architectures.ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """One of each kind of memory."""
    native_log.install()
    start_backends()
    path = tmp_path_factory.mktemp("architectures") / "model.gguf"
    with Model(str(tiny_architectures.write(request.param, path)), n_gpu_layers=0) as model:
        yield model
