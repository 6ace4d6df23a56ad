"""Paths, as gin and net/http judge them."""

from __future__ import annotations

import pytest

from server.transport.answers import HTML
from server.transport.routing import Missing, Redirect, RouteTable, clean_path, missing_answer, redirect_answer

TABLE = RouteTable(
    [
        ("/", ("HEAD", "GET")),
        ("/api/tags", ("GET", "HEAD")),
        ("/api/ps", ("GET",)),
        ("/api/chat", ("POST",)),
        ("/api/blobs/{digest}", ("HEAD",)),
        ("/api/blobs/{digest}", ("POST",)),
        ("/v1/models", ("GET",)),
        ("/v1/models/{model}", ("GET",)),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "verdict"),
    [
        ("GET", "/", None),
        ("GET", "/api/tags", None),
        ("POST", "/api/blobs/sha256:abc", None),
        ("GET", "/v1/models/a:b", None),
        ("GET", "/v1/models", None),
        ("GET", "/nope", Missing("")),
        ("GET", "/API/tags", Missing("")),
        ("GET", "/api/chat", Missing("POST")),
        ("POST", "/api/tags", Missing("HEAD, GET")),
        ("OPTIONS", "/api/tags", Missing("HEAD, GET")),
        ("HEAD", "/api/ps", Missing("GET")),
        ("GET", "/api/blobs/x", Missing("HEAD, POST")),
        ("PUT", "/", Missing("HEAD, GET")),
        ("GET", "/v1/models/user/name", Missing("")),
        ("POST", "/api/blobs/", Missing("")),
        ("POST", "/api/blobs", Missing("")),
        ("GET", "/api/tags/", Redirect(301, "/api/tags")),
        ("HEAD", "/api/tags/", Redirect(307, "/api/tags")),
        ("POST", "/api/chat/", Redirect(307, "/api/chat")),
        ("GET", "/v1/models/", Redirect(301, "/v1/models")),
        ("GET", "/v1/models/x/", Redirect(301, "/v1/models/x")),
        ("GET", "/api/chat/", Missing("")),
        ("GET", "//api/tags", Redirect(307, "/api/tags")),
        ("POST", "/api/x/../chat", Redirect(307, "/api/chat")),
        ("GET", "/./", Redirect(307, "/")),
        ("GET", "/nope//x", Redirect(307, "/nope/x")),
        ("CONNECT", "//api/tags", Missing("")),
    ],
)
def test_a_path_is_found_redirected_or_missing(method: str, path: str, verdict: object) -> None:
    assert TABLE.judge(method, path) == verdict


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/", "/"),
        ("", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("//", "/"),
        ("/..", "/"),
        ("/a/../..", "/"),
        ("/a/./b/", "/a/b/"),
        ("a", "/a"),
        ("/a/...", "/a/..."),
        ("/a/.b", "/a/.b"),
        ("///a", "/a"),
    ],
)
def test_paths_are_cleaned(path: str, cleaned: str) -> None:
    assert clean_path(path) == cleaned


def test_a_redirect_has_a_page_for_get_alone() -> None:
    page = redirect_answer(Redirect(301, "/api/tags"), "GET", b"")
    assert page.body == b'<a href="/api/tags">Moved Permanently</a>.\n\n'
    assert list(page.headers) == [(b"location", b"/api/tags"), HTML]
    assert redirect_answer(Redirect(307, "/api/tags"), "HEAD", b"").body == b""
    assert list(redirect_answer(Redirect(307, "/api/chat"), "POST", b"").headers) == [(b"location", b"/api/chat")]


def test_a_redirect_keeps_the_query_and_encodes_the_path() -> None:
    answer = redirect_answer(Redirect(307, '/a b/"<é>'), "GET", b"x=1&y=2")
    assert answer.headers[0] == (b"location", b"/a%20b/%22%3C%C3%A9%3E?x=1&y=2")
    assert b'href="/a%20b/%22%3C%C3%A9%3E?x=1&amp;y=2"' in answer.body


def test_a_missing_path_and_a_missing_method_have_their_texts() -> None:
    assert (missing_answer(Missing("")).status, missing_answer(Missing("")).body) == (404, b"404 page not found")
    assert (missing_answer(Missing("GET")).status, missing_answer(Missing("GET")).body) == (
        405,
        b"405 method not allowed",
    )
