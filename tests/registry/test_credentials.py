from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.credentials import Credentials, find_credentials

AUTH = {"auth": "dXNlcjpwYTpzcw=="}
FOUND = Credentials("user", "pa:ss")


@pytest.mark.parametrize(
    ("auths", "host", "expected"),
    [
        ({"h:5000": AUTH}, "h:5000", FOUND),
        ({"H:5000": AUTH}, "h:5000", FOUND),
        ({"https://h/v1/": AUTH}, "h", FOUND),
        ({"h/v2": AUTH}, "h", FOUND),
        ({"h": {"username": "u", "password": "p"}}, "h", Credentials("u", "p")),
        ({"https://index.docker.io/v1/": AUTH}, "registry-1.docker.io", FOUND),
        ({"https://index.docker.io/v1/": AUTH}, "docker.io", FOUND),
        ({"docker.io": AUTH}, "registry-1.docker.io", FOUND),
        ({"https://index.docker.io/v1/": AUTH}, "auth.docker.io", None),
        ({"docker.io": AUTH}, "evil-docker.io", None),
        ({"h": AUTH | {"identitytoken": "t"}}, "h", Credentials("user", identity_token="t")),
        ({"h": {"identitytoken": "t"}}, "h", Credentials("", identity_token="t")),
        ({"h": AUTH | {"identitytoken": ""}}, "h", FOUND),
        ({"h": AUTH | {"identitytoken": 5}}, "h", FOUND),
        ({"h:5000": AUTH}, "h", None),
        ({"h": AUTH}, "h:5000", None),
        ({"other.h": AUTH}, "h", None),
        ({"h": {}}, "h", None),
        ({"h": {"auth": "%%%"}}, "h", None),
        ({"h": {"auth": "/w=="}}, "h", None),
        ({"h": {"auth": 1, "username": 2}}, "h", None),
        ({"h": "text"}, "h", None),
        ({}, "h", None),
        ([], "h", None),
        (None, "h", None),
    ],
)
def test_the_entry_of_exactly_this_host_counts(
    auths: Any, host: str, expected: Credentials | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": auths}))
    assert find_credentials(config, host) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000])
def test_a_file_that_cannot_be_read_has_no_entries(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(text)
    assert find_credentials(config, "h") is None
    assert find_credentials(tmp_path / "none", "h") is None
    assert find_credentials(tmp_path, "h") is None


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that keeps the password of one host, and notes how it was called."""
    program = tmp_path / "docker-credential-toy"
    program.write_text(
        "#!/bin/sh\n"
        'read -r host; echo "$1 $host" >> "$0.log"\n'
        'case $host in h) echo \'{"ServerURL":"h","Username":"kept","Secret":"s"}\';;\n'
        'token) echo \'{"Username":"<token>","Secret":"s"}\';;\n'
        'https://index.docker.io/v1/) echo \'{"Username":"hub","Secret":"s"}\';;\n'
        "garbage) echo hello;;\n"
        "*) echo not found; exit 1;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


@pytest.mark.parametrize(
    ("config", "host", "expected"),
    [
        ({"credsStore": "toy"}, "h", Credentials("kept", "s")),
        ({"credHelpers": {"h": "toy"}}, "h", Credentials("kept", "s")),
        ({"credHelpers": {"h": "toy"}, "auths": {"other": AUTH}}, "other", FOUND),
        ({"credsStore": "toy", "auths": {"other": AUTH}}, "other", FOUND),
        ({"credsStore": "toy", "auths": {"h": {}}}, "h", Credentials("kept", "s")),
        ({"credsStore": "toy"}, "token", Credentials("", identity_token="s")),
        ({"credsStore": "toy"}, "docker.io", Credentials("hub", "s")),
        ({"credHelpers": {"docker.io": "toy"}, "credsStore": "missing"}, "index.docker.io", Credentials("hub", "s")),
        ({"credHelpers": {"H": "toy"}}, "h", Credentials("kept", "s")),
        ({"credsStore": "toy"}, "garbage", None),
        ({"credsStore": "toy"}, "unknown", None),
        ({"credsStore": "missing"}, "h", None),
        ({"credsStore": "../toy"}, "h", None),
        ({"credsStore": 5}, "h", None),
        ({"credHelpers": []}, "h", None),
    ],
)
def test_a_keeper_is_asked_where_one_is_named(
    config: dict[str, Any], host: str, expected: Credentials | None, keeper: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert find_credentials(path, host) == expected


def test_a_keeper_is_told_the_host_alone(keeper: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"credsStore":"toy"}')
    find_credentials(path, "h:5000")
    assert Path(f"{keeper}.log").read_text() == "get h:5000\n"


def test_passwords_are_not_printed() -> None:
    assert "pa:ss" not in repr(FOUND)
    assert "secret" not in repr(Credentials("u", identity_token="secret"))
    assert FOUND.basic == "Basic dXNlcjpwYTpzcw=="
