"""What goes wrong between the Hub and the store, and who may have what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from registry.manifest import MediaType
from tests.fakes.faulty_http import Cut, Replace, Status
from tests.fakes.hub import FakeHub
from tests.server.hub.machine import OTHER, PLAIN, WHOLE, Machine

pytestmark = pytest.mark.anyio


# -- who may


async def test_the_hub_is_asked_for_the_model_and_nothing_else(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    await machine.pull("hf.co/u/r")
    assert [line for line in hub.lines() if "/storage/" not in line] == [
        "GET /api/models/u/r/tree/main",
        "HEAD /u/r/resolve/main/m.gguf",
    ]
    assert constants.HF_HUB_DISABLE_TELEMETRY
    assert not any("agent/" in headers.get("user-agent", "") for _, _, headers in hub.requests)


async def test_the_token_is_told_to_the_hub_alone(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", PLAIN | {"system": b"Be kind."})
    hub.private.add("u/r")
    await machine.pull("hf.co/u/r", token=hub.token)
    for _, path, headers in hub.requests:
        told = headers.get("Authorization") or headers.get("authorization")
        assert told == (None if path.startswith("/storage/") else f"Bearer {hub.token}"), path


@pytest.mark.parametrize(
    ("repository", "token", "reason"),
    [
        ("u/none", None, "u/none does not exist, or it is private: set HF_TOKEN to an access token for this server, "),
        ("u/none", "hf_secret", "u/none does not exist, or the account of the access token cannot read it"),
        ("u/private", None, "u/private does not exist, or it is private: set HF_TOKEN"),
        ("u/private", "wrong", "the Hub does not accept the access token for u/private: see HF_TOKEN"),
        (
            "u/gated",
            None,
            "u/gated is gated: it needs an account that has accepted its conditions at http://127.0.0.1:",
        ),
        ("u/plain", "wrong", "the Hub does not accept the access token for u/plain: see HF_TOKEN"),
        ("u/plain:Q2_K", None, 'the repository has no model "Q2_K"; it has: Q4_K_M, Q8_0'),
        ("u/plain@v9", None, 'u/plain has no revision "v9"'),
        ("u/empty", None, "the repository has no GGUF model"),
    ],
)
async def test_a_refusal_says_what_to_do(
    repository: str, token: str | None, reason: str, hub: FakeHub, machine: Machine
) -> None:
    for name in ("u/plain", "u/private", "u/gated"):
        hub.add(name, PLAIN)
    hub.add("u/empty", {"README.md": b"nothing"})
    hub.private.add("u/private")
    hub.gated.add("u/gated")
    assert (await machine.refusal(f"hf.co/{repository}", token=token)).startswith(reason)
    assert machine.store.manifests.list() == [] and machine.unreferenced() == set()


async def test_a_gated_repository_opens_for_the_token(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/gated", PLAIN)
    hub.gated.add("u/gated")
    await machine.pull("hf.co/u/gated", token=hub.token)
    assert machine.layers("hf.co/u/gated", MediaType.MODEL) == [WHOLE]


# -- what goes wrong


async def test_a_download_that_breaks_off_goes_on(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    hub.faults["storage"] = [None, Cut(300), Status(403, b"expired"), Cut(10)]
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]


@pytest.mark.parametrize(
    ("kind", "fault", "reason"),
    [
        ("tree", Status(501, b"busy"), "501"),
        ("tree", Status(403, b"no"), "u/r is forbidden"),
        ("tree", Replace(b"<html>"), "http://127.0.0.1:"),
        ("tree", Replace(b'{"a":1}'), "http://127.0.0.1:"),
        ("tree", Replace(b'[{"type":"file"}]'), "http://127.0.0.1:"),
        ("tree", Replace(b'[{"type":"file","path":"m.gguf","size":-1,"oid":"x"}]'), "the listing has a file without"),
        (
            "tree",
            Replace(
                b'[{"type":"file","path":"m.gguf","size":1,"oid":"x","lfs":{"oid":"../../x","size":1,"pointerSize":1}}]'
            ),
            "m.gguf: invalid digest format",
        ),
        ("file", Replace(b"other"), "system of u/r is not what the repository listed"),
        ("file", Replace(b"x" * (2 << 20)), "the answer has more than 1048576 bytes"),
    ],
)
async def test_a_bad_answer_is_reported_and_leaves_nothing(
    kind: str, fault: Any, reason: str, hub: FakeHub, machine: Machine
) -> None:
    hub.add("u/r", {"m.gguf": WHOLE, "system": b"Be kind."})
    hub.faults[kind] = [fault]
    assert (await machine.refusal("hf.co/u/r")).startswith(reason)
    assert machine.store.manifests.list() == [] and machine.unreferenced() == set()


async def test_content_of_another_digest_is_refused(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    hub.faults["storage"] = [Replace(WHOLE[::-1])] * 20
    assert (await machine.refusal("hf.co/u/r")).startswith("digest mismatch, file must be downloaded again")
    assert machine.store.manifests.list() == [] and machine.unreferenced() == set()


async def test_a_file_that_changes_meanwhile_is_refused(hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE})
    other = {"X-Linked-Etag": '"' + "0" * 64 + '"', "Location": "http://localhost/x"}
    hub.faults["head"] = [Status(302, b"", other)] * 20
    assert "m.gguf of u/r changed while it was fetched" in await machine.refusal("hf.co/u/r")


async def test_a_listing_has_an_end(hub: FakeHub, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hub.source.MAX_FILES", 10)
    hub.add("u/r", {f"{n}.txt": b"" for n in range(1000)})
    assert await machine.refusal("hf.co/u/r") == "u/r has more than 10 files"
    assert len(hub.lines("/tree/")) == 4


@pytest.mark.parametrize("text", [b"[]", b"{", b'"x"'])
async def test_parameters_that_are_none_are_refused(text: bytes, hub: FakeHub, machine: Machine) -> None:
    hub.add("u/r", {"m.gguf": WHOLE, "params": text})
    assert (await machine.refusal("hf.co/u/r")).startswith("the file params of u/r: ")
    assert hub.lines("/storage/") == []
    assert machine.store.manifests.list() == []


async def test_no_name_of_a_file_leads_out_of_the_store(hub: FakeHub, machine: Machine, tmp_path: Path) -> None:
    hostile = ["../../../canary.gguf", "/canary.gguf", "..\\canary.gguf", "a/../../canary.gguf", "\x00.gguf"]
    hub.add("u/r", dict.fromkeys(hostile, OTHER) | {"good.gguf": WHOLE})
    before = sorted(os.listdir(tmp_path.parent))
    await machine.pull("hf.co/u/r")
    assert machine.layers("hf.co/u/r", MediaType.MODEL) == [WHOLE]
    assert sorted(os.listdir(tmp_path.parent)) == before and sorted(os.listdir(tmp_path)) == ["models"]
