from __future__ import annotations

import pytest

from models.create.remote import remote_url
from models.errors import CreateRefused
from registry.manifest import ModelConfig
from tests.models.create.workshop import Workshop


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("example.com", "http://example.com:11434"),
        ("http://example.com", "http://example.com:11434"),
        ("https://example.com", "https://example.com:11434"),
        ("https://example.com:8080/path/../other", "https://example.com:8080/other"),
        ("example.com:8080/", "http://example.com:8080"),
        ("ollama.com", "https://ollama.com:443"),
        ("http://ollama.com", "https://ollama.com:443"),
        ("https://ollama.com", "https://ollama.com:11434"),
        ("/a/b/../../c/./d", "http://localhost:11434/c/d"),
        ("//a//b", "http://localhost:11434/a/b"),
        ("http:///path", "http://localhost:11434/path"),
        ("http://[::1]:99", "http://[::1]:99"),
        ("[::1]", "http://[::1]:11434"),
        ("example.com:", "http://example.com:11434"),
    ],
)
def test_a_host_becomes_a_url(text: str, url: str) -> None:
    assert remote_url(text) == url


@pytest.mark.parametrize("text", ["http://[::1]:namedport", "http://h:99999", "http://[::1"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(CreateRefused, match="bad remote"):
        remote_url(text)


@pytest.mark.parametrize(
    ("from_name", "host", "remote_model", "remote_host"),
    [
        ("big:120b", "example.com", "big:120b", "http://example.com:11434"),
        ("big:cloud", "", "big", "https://ollama.com:443"),
        ("big:120b-cloud", "", "big:120b", "https://ollama.com:443"),
        ("big:cloud", "https://other:1/", "big", "https://other:1"),
    ],
)
def test_a_stub_names_the_host_that_runs_the_model(
    shop: Workshop, from_name: str, host: str, remote_model: str, remote_host: str
) -> None:
    said = shop.create(from_name=from_name, remote_host=host, system="Hi.", info={"model_family": "f"})
    assert said[-2:] == ["writing manifest", "success"]
    assert shop.layers() == [("system", "")]
    assert shop.config() == ModelConfig(
        model_family="f", model_families=("f",), remote_host=remote_host, remote_model=remote_model
    )
