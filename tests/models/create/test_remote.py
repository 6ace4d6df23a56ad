from __future__ import annotations

import pytest

from models.create.remote import remote_url
from models.errors import CreateRefused


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
