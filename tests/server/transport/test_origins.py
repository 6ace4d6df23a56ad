"""Which pages may call."""

from __future__ import annotations

import pytest

from server.transport.origins import BadOrigin, Origins, is_same_origin


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1:8443", True),
        ("http://0.0.0.0", True),
        ("app://obsidian.md", True),
        ("tauri://localhost", True),
        ("vscode-webview://x", True),
        ("HTTP://LOCALHOST", False),
        ("http://localhost.evil", False),
        ("http://localhost:", True),
        ("http://[::1]:1", False),
        ("https://example.com", False),
        ("chrome-extension://abc", False),
        ("null", False),
        ("capacitor://localhost", False),
    ],
)
def test_the_defaults_allow_pages_of_this_machine(origin: str, is_allowed: bool) -> None:
    assert Origins.parse(()).allow(origin) is is_allowed


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://app.example", True),
        ("https://app.example", False),
        ("http://APP.example", False),
        ("moz-extension://abc", True),
        ("https://a.corp.example", True),
        ("https://.corp.example", True),
        ("https://corp.example", False),
        ("https://aa", True),
        ("https://a", False),
        ("http://localhost:5", True),
    ],
)
def test_entries_are_added_to_the_defaults(origin: str, is_allowed: bool) -> None:
    entries = ("http://App.Example", "moz-extension://*", "https://*.corp.example", "https://a*a")
    assert Origins.parse(entries).allow(origin) is is_allowed


@pytest.mark.parametrize("entry", ["null", "example.com", "", "ftp://x", "app://x"])
def test_an_entry_without_star_and_scheme_is_refused(entry: str) -> None:
    with pytest.raises(BadOrigin) as caught:
        Origins.parse((entry,))
    schemes = "http://,https://,chrome-extension://,safari-extension://,moz-extension://,ms-browser-extension://"
    assert str(caught.value) == f"bad origin: origins must contain '*' or include {schemes}"


def test_an_entry_with_two_stars_is_refused() -> None:
    with pytest.raises(BadOrigin, match="only one"):
        Origins.parse(("http://*.a.*",))


def test_a_star_alone_allows_everybody_and_is_told_so() -> None:
    origins = Origins.parse(("*",))
    assert origins.allow("https://anything")
    assert list(origins.headers("https://anything", is_preflight=False)) == [(b"access-control-allow-origin", b"*")]


def test_an_allowed_origin_is_named_and_varies() -> None:
    headers = Origins.parse(()).headers("http://localhost", is_preflight=False)
    assert list(headers) == [(b"vary", b"Origin"), (b"access-control-allow-origin", b"http://localhost")]


def test_a_page_of_this_server_is_of_the_same_origin() -> None:
    assert is_same_origin("http://box:11434", "box:11434")
    assert is_same_origin("https://box:11434", "box:11434")
    assert not is_same_origin("http://box", "box:11434")
