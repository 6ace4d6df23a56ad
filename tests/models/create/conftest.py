from __future__ import annotations

from pathlib import Path

import pytest

from registry.store import Store
from tests.fakes.gguf_file import llama_bytes
from tests.models.create.workshop import Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(Store(tmp_path / "models"))


@pytest.fixture
def llama(shop: Workshop) -> str:
    """The digest of an uploaded text model."""
    return shop.upload(llama_bytes())
