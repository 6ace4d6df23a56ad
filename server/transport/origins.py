"""Which web pages may call: the allowed origins and the headers of CORS.

# Compat: http-api 1.3, registry-store-cli 8 (OLLAMA_ORIGINS); gin-contrib/cors 1.7.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.transport.asgi import Headers

SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)
DEFAULTS = (
    *(
        f"{scheme}://{host}{port}"
        for host in ("localhost", "127.0.0.1", "0.0.0.0")
        for port in ("", ":*")
        for scheme in ("http", "https")
    ),
    *("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"),
)
_STAINLESS = (
    *("Arch", "Async", "Custom-Poll-Interval", "Helper-Method", "Lang", "Os", "Package-Version", "Poll-Helper"),
    *("Retry-Count", "Runtime", "Runtime-Version", "Timeout"),
)
_ALLOWED_HEADERS = ",".join(
    (
        *("Authorization", "Content-Type", "User-Agent", "Accept", "X-Requested-With", "Openai-Beta"),
        *(f"X-Stainless-{name}" for name in _STAINLESS),
    )
)
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (b"access-control-allow-headers", _ALLOWED_HEADERS.encode()),
    (b"access-control-max-age", b"43200"),
]
_VARY = (b"vary", b"Origin")
_VARY_PREFLIGHT: Headers = [
    _VARY,
    (b"vary", b"Access-Control-Request-Method"),
    (b"vary", b"Access-Control-Request-Headers"),
]


class BadOrigin(ValueError):
    """An entry of OLLAMA_ORIGINS that cannot be one; the server does not start. The text is Ollama's."""


@dataclass(frozen=True, slots=True)
class Origins:
    """`exact` origins in lower case; `patterns` are what stands before and after the star."""

    exact: frozenset[str]
    patterns: tuple[tuple[str, str], ...]
    allows_all: bool = False

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Origins:
        """The defaults and further entries. Raises: BadOrigin."""
        exact: set[str] = set()
        patterns: list[tuple[str, str]] = []
        allows_all = False
        for entry in (*entries, *DEFAULTS):
            if "*" not in entry:
                if not entry.startswith(SCHEMES):
                    raise BadOrigin(f"bad origin: origins must contain '*' or include {','.join(SCHEMES)}")
                exact.add(entry.strip().lower())
                continue
            if entry.count("*") > 1:
                raise BadOrigin("only one * is allowed")
            allows_all = allows_all or entry == "*"
            before, _, after = entry.partition("*")
            patterns.append((before, after))
        return cls(frozenset(exact), tuple(patterns), allows_all)

    def allow(self, origin: str) -> bool:
        """Whether a page of this origin may call; the header is compared as it came."""
        if self.allows_all or origin in self.exact:
            return True
        # A star stands for something, perhaps nothing, but never for text that both ends claim.
        return any(
            len(origin) >= len(before) + len(after) and origin.startswith(before) and origin.endswith(after)
            for before, after in self.patterns
        )

    def headers(self, origin: str, *, is_preflight: bool) -> Headers:
        """What an allowed origin is told."""
        allowed = (b"access-control-allow-origin", b"*" if self.allows_all else origin.encode("latin-1"))
        vary = [] if self.allows_all else _VARY_PREFLIGHT if is_preflight else [_VARY]
        return [*(_PREFLIGHT if is_preflight else []), *vary, allowed]


def is_same_origin(origin: str, host: str) -> bool:
    """Whether the page comes from this server, by the name that it was called with."""
    return origin in (f"http://{host}", f"https://{host}")
