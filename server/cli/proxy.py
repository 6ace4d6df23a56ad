"""Whether a request goes through a proxy, by the rules of Go's client.

Source: Go net/http ProxyFromEnvironment (golang.org/x/net/http/httpproxy).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def choose_proxy(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> tuple[str, int] | None:
    """Host and port of the proxy for an address, or None for a direct connection.

    `proxies`: "http", "https" → address of a proxy; "no" → what NO_PROXY holds. Local addresses are never proxied.
    """
    address = proxies.get(scheme, "")
    if not address or is_local(host) or _is_exempt(host, port, proxies.get("no", "")):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    return (parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme, 80)) if parts.hostname else None


def is_local(host: str) -> bool:
    """`localhost`, the loopback addresses, and no name at all; 0.0.0.0 counts as remote."""
    return host in ("", "localhost") or host.startswith("127.") or host == "::1"


def _is_exempt(host: str, port: int, exempt: str) -> bool:
    return any(_matches(entry.strip().lower(), host.lower().rstrip("."), port) for entry in exempt.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    """An entry is `*`, an address, a network (10.0.0.0/8), or a domain with its subdomains, perhaps with a port."""
    if not entry:
        return False
    if entry == "*":
        return True
    network = _network_contains(entry, host)
    if network is not None:
        return network
    name, separator, digits = entry.rpartition(":")
    if separator and digits.isdigit():
        if int(digits) != port:
            return False
        entry = name
    domain = entry.removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _network_contains(entry: str, host: str) -> bool | None:
    """None when the entry is no address or network; a host name is in no network."""
    import ipaddress  # here, because commands start often and few have such an entry to look at

    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
