from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_public_key,
)

from registry.auth import Challenge, check_realm, load_key, parse_challenge, token_url
from registry.client import Repository
from registry.errors import AccessDenied, KeyUnusable, ManifestUnavailable, RegistryRefused, UntrustedRealm
from registry.names import ModelName
from tests.fakes.faulty_http import Drop, Fault, Replace, Status
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_protocol import Request
from tests.registry.conftest import Site

MODEL = {"model": b"weights"}
HASH_OF_NOTHING = "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="


def public_key(line: str) -> Ed25519PublicKey:
    key = load_ssh_public_key(line.encode())
    assert isinstance(key, Ed25519PublicKey)
    return key


# -- the key ----------------------------------------------------------------------------------------------------------


def test_a_missing_key_is_made_in_the_originals_form(tmp_path: Path) -> None:
    folder = tmp_path / ".ollama"
    key = load_key(folder)
    private, public = folder / "id_ed25519", folder / "id_ed25519.pub"
    assert private.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert public.read_text() == f"{key.public_line}\n"
    assert len(key.public_line.split()) == 2
    assert (stat.S_IMODE(private.stat().st_mode), stat.S_IMODE(public.stat().st_mode)) == (0o600, 0o644)
    assert sorted(p.name for p in folder.iterdir()) == ["id_ed25519", "id_ed25519.pub"]


def test_a_key_that_is_there_is_used(tmp_path: Path) -> None:
    first = load_key(tmp_path)
    before = (tmp_path / "id_ed25519").read_bytes()
    assert load_key(tmp_path).public_line == first.public_line
    assert (tmp_path / "id_ed25519").read_bytes() == before


def test_the_first_of_many_makers_wins(tmp_path: Path) -> None:
    lines: list[str] = []
    makers = [threading.Thread(target=lambda: lines.append(load_key(tmp_path).public_line)) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(lines) == 8
    assert set(lines) == {load_key(tmp_path).public_line}


def rsa_key() -> bytes:
    return generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


@pytest.mark.parametrize("make", [lambda: b"", lambda: b"not a key", rsa_key], ids=["empty", "text", "rsa"])
def test_a_key_of_another_kind_is_refused_by_name(make: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_bytes(make())
    with pytest.raises(KeyUnusable, match="id_ed25519"):
        load_key(tmp_path)


def test_without_permission_to_make_one_a_missing_key_is_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="id_ed25519: no such file or directory"):
        load_key(tmp_path, create=False)
    (tmp_path / "file").touch()
    with pytest.raises(KeyUnusable, match="not a directory"):
        load_key(tmp_path / "file")


def test_a_signature_is_of_the_text_alone(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    public, signature = key.authorization("GET,x").split(":")
    assert public == key.public_line.split()[1]
    public_key(key.public_line).verify(base64.b64decode(signature), b"GET,x")
    assert isinstance(key.private, Ed25519PrivateKey)


# -- the challenge ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://h/token",service="s",scope="a b"',
            Challenge("https://h/token", "s", ("a", "b")),
        ),
        ('realm="https://h/t"', Challenge("https://h/t", "", ())),
        ('Bearer scope="repository:a/b:pull,push",realm="r"', Challenge("r", "", ("repository:a/b:pull,push",))),
        ('Bearer realm="a"b",service="s"', Challenge('a"b', "s", ())),
        ('Bearer realm="unclosed', Challenge("", "", ())),
        ("Bearer realm=bare", Challenge("", "", ())),
        ("", Challenge("", "", ())),
    ],
)
def test_challenges(header: str, expected: Challenge) -> None:
    assert parse_challenge(header) == expected


@pytest.mark.parametrize(
    ("realm", "service", "scopes", "expected"),
    [
        ("https://h/token", "h", ("a:b:pull",), "https://h/token?nonce=N&scope=a%3Ab%3Apull&service=h&ts=7"),
        ("https://h/token", "h", ("x", "y"), "https://h/token?nonce=N&scope=x&scope=y&service=h&ts=7"),
        ("https://h/t?z=1&a=b c", "", (), "https://h/t?a=b+c&nonce=N&service=&ts=7&z=1"),
        ("https://h/t#part", "-_.~*", (), "https://h/t?nonce=N&service=-_.~%2A&ts=7"),
    ],
)
def test_token_addresses(realm: str, service: str, scopes: tuple[str, ...], expected: str) -> None:
    assert token_url(Challenge(realm, service, scopes), timestamp=7, nonce="N") == expected


@pytest.mark.parametrize(
    ("realm", "asking"),
    [
        ("https://h/token", "https://h/v2/x"),
        ("http://h:5000/token", "http://h:5000/v2/"),
        ("https://h/token", "http://h/v2/"),
        ("https://huggingface.co/api", "https://hf.co/v2/"),
        ("https://hf.co/api", "https://huggingface.co/v2/"),
        ("https://auth.docker.io/token", "https://registry-1.docker.io/v2/"),
    ],
)
def test_realms_that_may_be_asked(realm: str, asking: str) -> None:
    check_realm(realm, asking)


@pytest.mark.parametrize(
    ("realm", "asking", "text"),
    [
        ("https://evil/t", "https://h/v2/", 'realm host "evil" does not match original host "h"'),
        ("https://h:1/t", "https://h:2/v2/", 'realm host "h:1" does not match original host "h:2"'),
        ("https://h:443/t", "https://h/v2/", 'realm host "h:443" does not match original host "h"'),
        ("https://h@evil/t", "https://h/v2/", 'realm host "h@evil" does not match original host "h"'),
        ("https://h.evil/t", "https://h/v2/", 'realm host "h.evil" does not match original host "h"'),
        ("https://evil/t?h/", "https://h/v2/", 'realm host "evil" does not match original host "h"'),
        ("/token", "https://h/v2/", 'realm host "" does not match original host "h"'),
        ("https://huggingface.co:8443/", "https://hf.co/", None),
        ("https://huggingface.co/", "https://registry.ollama.ai/", None),
        ("https://evil/", "https://hf.co/", None),
        ("https://auth.docker.io/token", "https://hf.co/", None),
        ("https://auth.docker.io/token", "https://h/", None),
        ("http://auth.docker.io/token", "https://registry-1.docker.io/v2/", None),
        ("http://h/token", "https://h/v2/", None),
        ("ftp://h/token", "https://h/v2/", None),
    ],
)
def test_realms_that_are_told_nothing(realm: str, asking: str, text: str | None) -> None:
    with pytest.raises(UntrustedRealm) as caught:
        check_realm(realm, asking)
    assert text is None or str(caught.value) == text


# -- the flow ---------------------------------------------------------------------------------------------------------


def identified(registry: FakeRegistry) -> list[str]:
    return [request.line for request in registry.requests if "Authorization" in request.headers]


def tokens(registry: FakeRegistry) -> list[Request]:
    return [request for request in registry.requests if request.path.startswith("/token")]


@pytest.mark.anyio
async def test_nobody_is_told_who_we_are_unasked(registry: FakeRegistry, site: Site) -> None:
    await site.pull(registry.add_model("lib/m", MODEL))
    assert identified(registry) == []
    assert not (site.home / ".ollama" / "id_ed25519").exists()


@pytest.mark.anyio
async def test_a_token_is_fetched_once_and_shown_to_the_registry_alone(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    await site.pull(registry.add_model("lib/m", MODEL))
    assert len(tokens(registry)) == 1
    assert registry.lines()[:3:2] == ["GET /v2/lib/m/manifests/latest"] * 2
    for request in registry.requests[2:]:
        is_registry = request.headers["Host"] == registry.host
        assert request.headers.get("Authorization") == ("Bearer let-me-in" if is_registry else None)


@pytest.mark.anyio
async def test_the_signature_is_of_the_very_address_that_is_asked(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    await site.pull(registry.add_model("lib/m", MODEL))
    (request,) = tokens(registry)
    public, signature = request.headers["Authorization"].split(":")
    signed = f"GET,http://{registry.host}{request.path},{HASH_OF_NOTHING}"
    public_key(f"ssh-ed25519 {public}").verify(base64.b64decode(signature), signed.encode())
    names = [pair.partition("=")[0] for pair in request.path.partition("?")[2].split("&")]
    assert names == ["nonce", "scope", "service", "ts"]


@pytest.mark.anyio
async def test_every_question_has_another_nonce(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    name = registry.add_model("lib/m", MODEL)
    await site.pull(name)
    await site.pull(name)
    first, second = tokens(registry)
    assert first.path.partition("&")[0] != second.path.partition("&")[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "realm", ["http://elsewhere.invalid/token", "http://localhost:{port}/token", "http://127.0.0.1:1/token", "", "x"]
)
async def test_a_realm_on_another_host_hears_nothing(realm: str, registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    registry.realm = realm.format(port=registry.port) or " "
    with pytest.raises(ManifestUnavailable) as caught:
        await site.pull(registry.add_model("lib/m", MODEL))
    assert isinstance(caught.value.reason, UntrustedRealm)
    assert identified(registry) == []
    assert len(registry.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (Status(401, b"unknown key"), RegistryRefused, "401: unknown key"),
        (Status(500), RegistryRefused, "500"),
        (Status(302, b"", {"Location": "http://localhost:1/"}), RegistryRefused, "302"),
        (Replace(b"{}"), AccessDenied, "unauthorized: access denied"),
        (Replace(b'{"token":""}'), AccessDenied, "unauthorized: access denied"),
        (Replace(b'{"token":"a\\r\\nX-Evil: 1"}'), AccessDenied, "unauthorized: access denied"),
        (Replace(b'{"token":["a"]}'), AccessDenied, "unauthorized: access denied"),
        (Replace(b"[]"), AccessDenied, "unauthorized: access denied"),
        (Replace(b"\xff"), AccessDenied, "unauthorized: access denied"),
        (Replace(b"[" * 100_000), AccessDenied, "unauthorized: access denied"),
        (Replace(b'{"token":"wrong"}'), AccessDenied, "unauthorized: access denied"),
        (Drop(0), Exception, None),
        (Replace(b" " * (2 << 20)), Exception, None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_without_a_token_there_is_no_pull(
    fault: Fault, kind: type[Exception], text: str | None, registry: FakeRegistry, site: Site
) -> None:
    registry.auth = "token"
    registry.faults["token"] = [fault]
    with pytest.raises(ManifestUnavailable) as caught:
        await site.pull(registry.add_model("lib/m", MODEL))
    assert isinstance(caught.value.reason, kind)
    assert text is None or str(caught.value.reason) == text
    assert len(tokens(registry)) == 1


@pytest.mark.anyio
async def test_plain_registries_may_call_the_token_otherwise(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    registry.faults["token"] = [Replace(b'{"access_token":"let-me-in"}')]
    await site.pull(registry.add_model("lib/m", MODEL))


@pytest.mark.anyio
async def test_a_refusal_without_a_challenge_is_an_answer(registry: FakeRegistry, site: Site) -> None:
    registry.faults["manifest"] = [Status(401)]
    with pytest.raises(ManifestUnavailable, match=r"^pull model manifest: unauthorized: access denied$"):
        await site.pull(registry.add_model("lib/m", MODEL))


# -- plain registries -------------------------------------------------------------------------------------------------


def docker_login(site: Site, host: str, user: str = "user", password: str = "secret") -> None:
    folder = site.home / ".docker"
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.mark.anyio
async def test_a_registry_that_wants_a_password_gets_dockers(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "basic"
    docker_login(site, registry.host)
    await site.pull(registry.add_model("lib/m", MODEL))
    assert {r.headers.get("Authorization") for r in registry.requests if r.headers["Host"] != registry.host} == {None}


@pytest.mark.anyio
async def test_a_wrong_password_is_tried_once(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "basic"
    docker_login(site, registry.host, password="wrong")
    with pytest.raises(ManifestUnavailable, match="access denied"):
        await site.pull(registry.add_model("lib/m", MODEL))
    assert len(registry.requests) == 2


@pytest.mark.anyio
async def test_another_registrys_password_is_not_tried(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "basic"
    docker_login(site, "127.0.0.1:1")
    with pytest.raises(ManifestUnavailable, match="access denied"):
        await site.pull(registry.add_model("lib/m", MODEL))
    assert identified(registry) == []


@pytest.mark.anyio
async def test_the_password_buys_a_token_where_there_are_tokens(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    docker_login(site, registry.host)
    await site.pull(registry.add_model("lib/m", MODEL))
    assert tokens(registry)[0].headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert not (site.home / ".ollama" / "id_ed25519").exists()


@pytest.mark.anyio
async def test_an_identity_token_buys_tokens_and_is_no_password(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "token"
    (site.home / ".docker").mkdir()
    logins = {"auths": {registry.host: {"identitytoken": "a&b"}}}
    (site.home / ".docker" / "config.json").write_text(json.dumps(logins))
    await site.pull(registry.add_model("lib/m", MODEL))
    (request,) = tokens(registry)
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/x-www-form-urlencoded")
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["toy"],
        "scope": ["repository:lib/m:pull,push"],
        "client_id": ["puna"],
        "refresh_token": ["a&b"],
    }
    assert all(b"a&b" not in r.body and "a&b" not in str(r.headers) for r in registry.requests if r is not request)


@pytest.mark.anyio
async def test_an_identity_token_does_not_answer_a_question_for_a_password(registry: FakeRegistry, site: Site) -> None:
    registry.auth = "basic"
    (site.home / ".docker").mkdir()
    logins = {"auths": {registry.host: {"auth": "dXNlcjpzZWNyZXQ=", "identitytoken": "t"}}}
    (site.home / ".docker" / "config.json").write_text(json.dumps(logins))
    with pytest.raises(ManifestUnavailable, match="access denied"):
        await site.pull(registry.add_model("lib/m", MODEL))
    assert identified(registry) == []


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.io"])
def test_docker_hubs_registry_has_one_address(host: str) -> None:
    repository = Repository.of(ModelName.parse(f"{host}/ai/m"), insecure=False)
    assert repository.url("x") == "https://registry-1.docker.io/v2/ai/m/x"
