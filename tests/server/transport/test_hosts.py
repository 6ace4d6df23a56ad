"""Which Host headers mean this machine."""

from __future__ import annotations

import socket

import pytest

from server.transport.hosts import HostKind, is_loopback, judge_host

ADDRESS, NAME = HostKind.ADDRESS, HostKind.NAME


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("localhost", NAME),
        ("LocalHost:11434", NAME),
        ("", NAME),
        (":11434", NAME),
        ("box.local", NAME),
        ("host.docker.internal:11434", NAME),
        ("a.localhost", NAME),
        ("127.0.0.1:11434", ADDRESS),
        ("127.9.9.9", ADDRESS),
        ("0.0.0.0", ADDRESS),
        ("10.1.2.3", ADDRESS),
        ("172.16.0.1:80", ADDRESS),
        ("192.168.3.4:11434", ADDRESS),
        ("[::1]:11434", ADDRESS),
        ("[::1]", ADDRESS),
        ("::1", ADDRESS),
        ("[fd00::1]:1", ADDRESS),
        ("[::ffff:127.0.0.1]:1", ADDRESS),
        ("[::]:1", ADDRESS),
        ("evil.example", None),
        ("evil.example:80", None),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("100.64.0.1", None),
        ("169.254.1.1", None),
        ("224.0.0.1", None),
        ("255.255.255.255", None),
        ("[2001:db8::1]:1", None),
        ("local", None),
        ("internal", None),
        ("localhost.evil.example", None),
        ("127.0.0.1.evil.example", None),
        ("localhost:1:2", None),
        ("0127.0.0.1", None),
    ],
)
def test_a_host_is_ours_or_not(host: str, kind: HostKind | None) -> None:
    assert judge_host(host) is kind


def test_the_machine_answers_to_its_own_name() -> None:
    assert judge_host(socket.gethostname().upper()) is NAME


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("192.168.1.1", False)],
)
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
