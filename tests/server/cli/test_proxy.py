from __future__ import annotations

import pytest

from server.cli.proxy import choose_proxy

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("scheme", "host", "proxies", "expected"),
    [
        ("http", "model.example", {}, None),
        ("http", "model.example", {"http": PROXY}, ("proxy.example", 3128)),
        ("http", "model.example", {"http": "proxy.example:3128"}, ("proxy.example", 3128)),
        ("http", "model.example", {"http": "http://proxy.example"}, ("proxy.example", 80)),
        ("http", "model.example", {"https": PROXY}, None),
        ("https", "model.example", {"https": PROXY}, ("proxy.example", 3128)),
        ("http", "localhost", {"http": PROXY}, None),
        ("http", "127.0.0.5", {"http": PROXY}, None),
        ("http", "::1", {"http": PROXY}, None),
        ("http", "0.0.0.0", {"http": PROXY}, ("proxy.example", 3128)),
    ],
)
def test_local_addresses_and_other_schemes_are_not_proxied(
    scheme: str, host: str, proxies: dict[str, str], expected: tuple[str, int] | None
) -> None:
    assert choose_proxy(scheme, host, 11434, proxies) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("*", "model.example", True),
        ("other.example", "model.example", False),
        ("model.example", "model.example", True),
        ("MODEL.example", "model.Example", True),
        ("example", "model.example", True),
        ("ample", "model.example", False),
        (".example", "model.example", True),
        (".example", "example", False),
        ("*.example", "model.example", True),
        ("model.example:11434", "model.example", True),
        ("model.example:80", "model.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.0.0.0/8", "model.example", False),
        ("fd00::/8", "fd00::1", True),
        ("a.example, model.example ,", "model.example", True),
        ("", "model.example", False),
    ],
)
def test_exceptions_are_names_domains_and_networks(no_proxy: str, host: str, is_direct: bool) -> None:
    assert (choose_proxy("http", host, 11434, {"http": PROXY, "no": no_proxy}) is None) is is_direct
