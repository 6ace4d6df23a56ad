"""Who this machine is to a registry: its ed25519 key, and the token that a registry gives for a signature.

# Compat: registry-store-cli 5.1, 5.2; Ollama auth/auth.go, server/auth.go 0.33.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

from registry.credentials import DOCKER_HUB, Credentials
from registry.errors import AccessDenied, KeyUnusable, RegistryRefused, StoreUnusable, UntrustedRealm
from registry.files import make_directories, open_temporary, write_all
from registry.threads import in_thread
from registry.wire import Wire, host_of, read_error, read_limited

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "id_ed25519"
MAX_TOKEN_BYTES = 1 << 20
_MAX_KEY_BYTES = 64 << 10
_HASH_OF_NO_BODY = base64.b64encode(b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").decode()
_CLIENT = "puna"
_DOCKER_HUB_REALM = "auth.docker.io"
_ORGANISATIONS = (frozenset(("hf.co", "huggingface.co")), frozenset((DOCKER_HUB, _DOCKER_HUB_REALM)))
"""Hosts that may ask for a token in each other's name."""
_TOKEN = re.compile(r"[\x21-\x7e]+")

# --------------------------------------------------------------------------------------------------------------------
# The key


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The machine's key; `public_line` is the content of its public file, without the newline."""

    private: Ed25519PrivateKey
    public_line: str

    def authorization(self, text: str) -> str:
        """The header value that proves who signed `text`."""
        signature = base64.b64encode(self.private.sign(text.encode())).decode()
        return f"{self.public_line.split()[1]}:{signature}"


def load_key(directory: Path, *, create: bool = True) -> SigningKey:
    """Read `id_ed25519` in `directory`, and with `create` make it if there is none. Blocks.

    Raises: KeyUnusable.
    """
    path = directory / KEY_FILE
    try:
        if create and not path.exists():
            _make_key(path)
        return _parse_key(path, path.read_bytes()[:_MAX_KEY_BYTES])
    except StoreUnusable as error:
        raise KeyUnusable(str(error)) from error
    except OSError as error:
        raise KeyUnusable(f"open {path}: {os.strerror(error.errno or 0).lower()}") from error


def _parse_key(path: Path, content: bytes) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # here: only registries that ask for it need it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path}: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path}: not an ed25519 key")
    return SigningKey(key, _public_line(key))


def _public_line(key: Ed25519PrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _make_key(path: Path) -> None:
    """Two processes may do this at once: the first one's key stays."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    make_directories(path.parent)
    if _create_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600):
        public = path.with_name(f"{path.name}.pub")
        public.unlink(missing_ok=True)
        _create_file(public, f"{_public_line(key)}\n".encode(), 0o644)


def _create_file(path: Path, content: bytes, mode: int) -> bool:
    """Write a file as a whole, unless there is one."""
    descriptor, temporary = open_temporary(path.parent, f".{path.name}-")
    try:
        write_all(descriptor, content)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.close(descriptor)
        temporary.unlink()
    return True


# --------------------------------------------------------------------------------------------------------------------
# The challenge


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants to be asked for a token: where, for which service, with which scopes."""

    realm: str
    service: str
    scopes: tuple[str, ...]


def parse_challenge(header: str) -> Challenge:
    """Read a `WWW-Authenticate` header as Ollama does."""
    text = header.removeprefix("Bearer ")
    return Challenge(_value(text, "realm"), _value(text, "service"), tuple(_value(text, "scope").split()))


def _value(header: str, key: str) -> str:
    """The quoted value; a quote ends it only before a comma or at the end."""
    match = re.search(rf'{key}="(.*?)"(?:,|$)', header, re.DOTALL)
    return match[1] if match else ""


def token_url(challenge: Challenge, *, timestamp: int, nonce: str) -> str:
    """The address to ask for a token; its exact text is what gets signed."""
    parts = urlsplit(challenge.realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [("service", challenge.service), *(("scope", scope) for scope in challenge.scopes)]
    query += [("ts", str(timestamp)), ("nonce", nonce)]
    query.sort(key=lambda pair: pair[0])
    encoded = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in query)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, encoded, ""))


def check_realm(realm: str, refused_url: str) -> None:
    """Credentials stay with the host that asks for them, and in TLS if the question came by it.

    Raises: UntrustedRealm.
    # Compat: registry-store-cli 5.2; an organisation's two hosts may vouch for each other, see 12.2.
    """
    parts, refused = urlsplit(realm), urlsplit(refused_url)
    host, asking = parts.netloc, host_of(refused_url)
    is_same = host == asking or any({host, asking} <= hosts for hosts in _ORGANISATIONS)
    if not is_same:
        raise UntrustedRealm(host, asking)
    if parts.scheme != refused.scheme and parts.scheme != "https":
        raise UntrustedRealm(f"{parts.scheme}://{host}", f"{refused.scheme}://{asking}")


class Authorizer:
    """The `Authorization` of one operation's requests: none until the registry asks for it."""

    def __init__(
        self,
        wire: Wire,
        load_key: Callable[[], SigningKey],
        find_credentials: Callable[[str], Credentials | None],
        *,
        now: Callable[[], float] = time.time,
        make_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(16),
    ) -> None:
        self._wire = wire
        self._load_key = load_key
        self._find_credentials = find_credentials
        self._now = now
        self._make_nonce = make_nonce
        self.header: str | None = None

    async def answer(self, challenge: str, refused_url: str) -> None:
        """Find what the registry wants to see. Raises: AccessDenied, UntrustedRealm, RegistryRefused, KeyUnusable."""
        credentials = await in_thread(self._find_credentials, host_of(refused_url))
        if challenge.lower().startswith("basic"):
            if credentials is None or credentials.identity_token:
                raise AccessDenied
            self.header = credentials.basic
            return
        parsed = parse_challenge(challenge)
        if not parsed.realm:
            raise AccessDenied
        check_realm(parsed.realm, refused_url)
        if credentials is not None and credentials.identity_token:
            self.header = f"Bearer {await self._exchange(parsed, credentials.identity_token)}"
        else:
            self.header = f"Bearer {await self._fetch_token(parsed, credentials)}"

    async def _fetch_token(self, challenge: Challenge, credentials: Credentials | None) -> str:
        url = token_url(challenge, timestamp=int(self._now()), nonce=self._make_nonce())
        identity = credentials.basic if credentials is not None else await self._signature(url)
        return await self._ask_for_token("GET", url, {"Authorization": identity} if identity else {}, None)

    async def _signature(self, url: str) -> str | None:
        """What proves who asks; Docker Hub, which knows no such thing, gives everybody a token who does not try."""
        if host_of(url) == _DOCKER_HUB_REALM:
            return None
        key = await in_thread(self._load_key)
        return key.authorization(f"GET,{url},{_HASH_OF_NO_BODY}")

    async def _exchange(self, challenge: Challenge, identity_token: str) -> str:
        """A token for an identity token: OAuth 2, as the registries of the distribution kind speak it."""
        form = {
            "grant_type": "refresh_token",
            "service": challenge.service,
            "scope": " ".join(challenge.scopes),
            "client_id": _CLIENT,
            "refresh_token": identity_token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask_for_token("POST", challenge.realm, headers, urlencode(form).encode())

    async def _ask_for_token(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> str:
        async with self._wire.open(method, url, headers=headers, content=content) as response:
            if response.status_code >= 300:
                raise RegistryRefused(response.status_code, await read_error(response))
            return _parse_token(await read_limited(response, MAX_TOKEN_BYTES))


class BearerToken:
    """An access token that the user has given, which nothing can be done about when it is refused."""

    def __init__(self, token: str | None) -> None:
        self.header = f"Bearer {token}" if token else None

    async def answer(self, challenge: str, refused_url: str) -> None:
        raise AccessDenied


def _parse_token(raw: bytes) -> str:
    """Raises: AccessDenied where there is no usable token."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise AccessDenied from error
    members = answer if isinstance(answer, dict) else {}
    token = members.get("token") or members.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise AccessDenied
    return token
