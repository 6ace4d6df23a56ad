"""Which paths exist, and what is said about those that do not: redirects, 404, 405 with Allow.

# Compat: http-api 1.1, 1.2; Go net/http ServeMux (path cleaning), gin 1.10 (trailing slash, methods).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from server.transport.answers import HTML, PLAIN, Answer

METHODS = ("HEAD", "GET", "POST", "DELETE")
"""In the order in which Allow lists them."""

_REASONS = {301: "Moved Permanently", 307: "Temporary Redirect"}
_UNESCAPED_IN_PATHS = "/$&+,:;=@-_.~"


@dataclass(frozen=True, slots=True)
class Redirect:
    """To `path`, which is not encoded."""

    status: int
    path: str


@dataclass(frozen=True, slots=True)
class Missing:
    """No route for this path and method; `allow` lists the methods that the path has, if any."""

    allow: str


class RouteTable:
    """All paths with their methods. A path may end in one parameter, `/api/blobs/{digest}`: one segment, not empty."""

    def __init__(self, routes: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._exact: dict[str, set[str]] = {}
        self._by_prefix: dict[str, set[str]] = {}
        for path, methods in routes:
            prefix, brace, _ = path.partition("{")
            table = self._by_prefix if brace else self._exact
            table.setdefault(prefix, set()).update(methods)

    def methods(self, path: str) -> set[str]:
        """What a path can be asked for; empty when it does not exist."""
        found = self._exact.get(path)
        if found is not None:
            return found
        cut = path.rfind("/") + 1
        return self._by_prefix.get(path[:cut], set()) if cut < len(path) else set()

    def judge(self, method: str, path: str) -> Redirect | Missing | None:
        """None where there is a route. `path` is decoded."""
        cleaned = clean_path(path)
        if cleaned != path and method != "CONNECT":
            return Redirect(307, cleaned)
        methods = self.methods(path)
        if method in methods:
            return None
        if path.endswith("/") and path != "/" and method in self.methods(path[:-1]):
            return Redirect(301 if method == "GET" else 307, path[:-1])
        return Missing(", ".join(m for m in METHODS if m in methods))


def clean_path(path: str) -> str:
    """Without `//`, `.` and `..`, a trailing slash kept. # Compat: Go net/http cleanPath."""
    if "//" not in path and "/." not in path and path.startswith("/"):
        return path
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return f"{cleaned}/" if path.endswith("/") and cleaned != "/" else cleaned


def redirect_answer(redirect: Redirect, method: str, query: bytes) -> Answer:
    """# Compat: Go http.Redirect: a page for GET alone, its type also for HEAD."""
    location = quote(redirect.path, safe=_UNESCAPED_IN_PATHS) + (f"?{query.decode('latin-1')}" if query else "")
    headers = [(b"location", location.encode("latin-1"))]
    if method in ("GET", "HEAD"):
        headers.append(HTML)
    if method != "GET":
        return Answer(redirect.status, headers)
    link = escape(location).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    return Answer(redirect.status, headers, f'<a href="{link}">{_REASONS[redirect.status]}</a>.\n\n'.encode())


def missing_answer(missing: Missing) -> Answer:
    """404, or 405 where other methods would do; the Allow header is the caller's, as it is told with refusals, too."""
    if missing.allow:
        return Answer(405, [PLAIN], b"405 method not allowed")
    return Answer(404, [PLAIN], b"404 page not found")
