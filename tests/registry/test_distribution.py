"""Against a real registry of the distribution kind, where one is installed (Debian: docker-registry)."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.manifest import Layer, Manifest, MediaType
from registry.names import ModelName
from registry.pace import Pace
from tests.registry.conftest import Site, statuses

PROGRAM = shutil.which("docker-registry") or shutil.which("registry")
CONTENTS = (bytes(range(256)) * 12_000, b"license", b"")
BCRYPT_OF_SECRET = "$2b$04$ExJH/W6.b3VWWF6/hr6VLe9e0U39nmDiM4NvjjnKDVx5H6Gm0csmG"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="neither docker-registry (Debian) nor registry is on the PATH"),
]


@contextmanager
def serving(folder: Path, *, has_password: bool) -> Iterator[str]:
    """The server's host and port."""
    assert PROGRAM is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(folder)}}, "http": {"addr": host}}
    if has_password:
        passwords = folder / "htpasswd"
        passwords.write_text(f"user:{BCRYPT_OF_SECRET}\n")
        config["auth"] = {"htpasswd": {"realm": "toy", "path": str(passwords)}}
    (folder / "config.yml").write_text(json.dumps(config))
    process = subprocess.Popen([PROGRAM, "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(host)
        yield host
    finally:
        process.kill()
        process.wait()


def wait_for_port(host: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((host.partition(":")[0], int(host.partition(":")[2]))).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def keep(site: Site, name: ModelName, from_name: str = "") -> None:
    layers = [
        Layer(MediaType.MODEL, site.store.blobs.put_bytes(content)[0], len(content), from_name) for content in CONTENTS
    ]
    site.store.write_model(name, Manifest(dataclasses.replace(layers[1], from_name=""), tuple(layers)))


@pytest.mark.parametrize("has_password", [False, True])
async def test_push_mount_and_pull(has_password: bool, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    site = Site(home, Pace(part_bytes=1_000_000), stall_s=10)
    with serving(tmp_path, has_password=has_password) as host:
        if has_password:
            logins = {"auths": {host: {"username": "user", "password": "secret"}}}
            (home / ".docker" / "config.json").write_text(json.dumps(logins))
        first, second = (ModelName.parse(f"{host}/lib/{model}:v1") for model in ("one", "two"))
        keep(site, first)
        assert statuses(await site.push(first))[-1] == "success"
        keep(site, second, from_name=f"{host}/lib/one:v1")
        assert statuses(await site.push(second))[-1] == "success"
        site.store.delete_model(first)
        site.store.delete_model(second)
        assert site.blob_names() == []
        assert statuses(await site.pull(second))[-1] == "success"
        layers = site.store.manifests.load(second).manifest.layers
        assert tuple(site.content(str(layer.digest)) for layer in layers) == CONTENTS
    assert site.sleeps == []
    await site.registries.close()
