"""The Host check: names that a web page could have bound to this machine are not served on loopback addresses.

# Compat: http-api 1.4; Ollama server/routes.go allowedHostsMiddleware 0.33.
"""

from __future__ import annotations

import enum
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_LOCAL_ENDINGS = (".localhost", ".local", ".internal")
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[^:]*)?|([^:]*):[^:]*")


class HostKind(enum.Enum):
    """How an accepted Host header names this server."""

    ADDRESS = "address"
    NAME = "name"


def judge_host(text: str) -> HostKind | None:
    """None for a host that is not ours."""
    host = _without_port(text)
    address = _parse_address(host)
    if address is not None:
        return HostKind.ADDRESS if _is_near(address) else None
    return HostKind.NAME if _is_local_name(host.lower()) else None


def is_loopback(host: str) -> bool:
    """Whether a server that listens there is reached from this machine alone."""
    address = _parse_address(host)
    return address is not None and address.is_loopback


def _without_port(text: str) -> str:
    match = _WITH_PORT.fullmatch(text)
    if match is None:
        return text
    return match[2] if match[1] is None else match[1]


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _is_near(address: IPv4Address | IPv6Address) -> bool:
    if address.is_loopback or address.is_unspecified:
        return True
    return any(address in network for network in _PRIVATE if network.version == address.version) or _is_ours(address)


def _is_ours(address: IPv4Address | IPv6Address) -> bool:
    """Whether an interface of this machine has the address: only then can a socket be bound to it."""
    if address.is_multicast or str(address) == "255.255.255.255":
        return False
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _is_local_name(host: str) -> bool:
    return host in ("", "localhost") or host == socket.gethostname().lower() or host.endswith(_LOCAL_ENDINGS)
