"""Commands that ask once and print: list, ps, cp, rm, stop, version, signin, signout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.cli.ps import format_processor
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Reply

Json = dict[str, Any]


def ago(**distance: float) -> str:
    return (datetime.now(UTC) - timedelta(**distance)).isoformat()


def model(name: str, **fields: Any) -> Json:
    return {"name": name, "digest": "a80c4f17acd5" + "0" * 52, "size": 2_019_393_189, **fields}


# ---- list


def test_list_shows_the_models_in_the_order_of_the_server(fake: FakeServer, puna: Puna) -> None:
    fake.answers["GET /api/tags"] = Reply(
        json={
            "models": [
                model("llama3.2:latest", modified_at=ago(hours=2)),
                model("gpt-oss:120b-cloud", remote_model="gpt-oss:120b", modified_at=ago(days=3)),
                model("a:latest", modified_at="0001-01-01T00:00:00Z"),
            ]
        }
    )
    assert puna("list").stdout == (
        "NAME                  ID              SIZE      MODIFIED    \n"
        "llama3.2:latest       a80c4f17acd5    2.0 GB    2 hours ago    \n"
        "gpt-oss:120b-cloud    a80c4f17acd5    -         3 days ago     \n"
        "a:latest              a80c4f17acd5    2.0 GB    Never          \n"
    )


@pytest.mark.parametrize(("prefix", "n_lines"), [("LLAMA", 2), ("llama3.2:latest", 2), ("b", 1), ("", 3)])
def test_list_filters_by_prefix_whatever_the_case(fake: FakeServer, puna: Puna, prefix: str, n_lines: int) -> None:
    models = [model("Llama3.2:latest", modified_at=ago(days=1)), model("qwen:7b", modified_at=ago(days=1))]
    fake.answers["GET /api/tags"] = Reply(json={"models": models})
    assert puna("ls", prefix).stdout.count("\n") == n_lines


def test_a_digest_may_be_short(fake: FakeServer, puna: Puna) -> None:
    fake.answers["GET /api/tags"] = Reply(json={"models": [model("a", modified_at=ago(days=1)) | {"digest": "abc"}]})
    assert puna("list").stdout.split("\n")[1].startswith("a       abc    ")


# ---- ps


def test_ps_shows_what_is_loaded(fake: FakeServer, puna: Puna) -> None:
    soon = ago(minutes=-4, seconds=-59)
    fake.answers["GET /api/ps"] = Reply(
        json={
            "models": [
                model("llama3.2:latest", size_vram=1_050_084_458, context_length=4096, expires_at=soon),
                model("pico:latest", size_vram=0, context_length=256, expires_at=ago(seconds=1)),
                model("q:1", size_vram=2_019_393_189, context_length=32768, expires_at="2318-12-02T01:02:03Z"),
            ]
        }
    )
    assert puna("ps").stdout == (
        "NAME               ID              SIZE      PROCESSOR          CONTEXT    UNTIL              \n"
        "llama3.2:latest    a80c4f17acd5    2.0 GB    48%/52% CPU/GPU    4096       4 minutes from now    \n"
        "pico:latest        a80c4f17acd5    2.0 GB    100% CPU           256        Stopping...           \n"
        "q:1                a80c4f17acd5    2.0 GB    100% GPU           32768      Forever               \n"
    )
    assert puna("ps", "Pico").stdout.count("\n") == 1
    assert puna("ps", "pico").stdout.count("\n") == 2


def test_nothing_loaded_is_a_header(fake: FakeServer, puna: Puna) -> None:
    fake.answers["GET /api/ps"] = Reply(json={"models": []})
    assert puna("ps").stdout == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL \n"


@pytest.mark.parametrize(
    ("size", "vram", "text"),
    [
        (100, 0, "100% CPU"),
        (100, 100, "100% GPU"),
        (100, 101, "Unknown"),
        (0, 1, "Unknown"),
        (0, 0, "100% CPU"),
        (1000, 995, "1%/99% CPU/GPU"),
        (1000, 996, "0%/100% CPU/GPU"),
    ],
)
def test_the_share_of_the_gpu_is_rounded(size: int, vram: int, text: str) -> None:
    assert format_processor(size, vram) == text


# ---- cp, rm, stop


def test_cp_says_what_it_did(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/copy"] = Reply()
    assert puna("cp", "a", "b").stdout == "copied 'a' to 'b'\n"
    assert fake.bodies("POST /api/copy") == [{"source": "a", "destination": "b"}]


def test_cp_reports_the_error_of_the_server(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/copy"] = Reply(404, json={"error": 'model "a" not found'})
    result = puna("cp", "a", "b")
    assert (result.status, result.stdout, result.stderr) == (1, "", 'Error: model "a" not found\n')


UNLOAD = {
    "model": "a",
    "prompt": "",
    "suffix": "",
    "system": "",
    "template": "",
    "keep_alive": "0s",
    "options": None,
}


def test_rm_unloads_and_deletes_each_model(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(json={"details": {}}),
        "POST /api/generate": Reply(json={"done": True, "done_reason": "unload"}),
        "DELETE /api/delete": Reply(),
    }
    result = puna("rm", "a", "b")
    assert (result.status, result.stdout) == (0, "deleted 'a'\ndeleted 'b'\n")
    assert fake.calls() == ["POST /api/show", "POST /api/generate", "DELETE /api/delete"] * 2
    assert fake.bodies("POST /api/generate")[0] == UNLOAD
    assert fake.bodies("DELETE /api/delete") == [{"model": "", "name": "a"}, {"model": "", "name": "b"}]


def test_rm_stops_at_the_first_model_that_is_missing(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(404, json={"error": "model 'a:latest' not found"}),
        "DELETE /api/delete": Reply(404, json={"error": "model 'a' not found"}),
    }
    result = puna("rm", "a", "b")
    assert (result.status, result.stdout) == (1, "")
    assert result.shown.endswith("Error: model 'a' not found\n")
    assert "Warning" not in result.stderr
    assert fake.calls() == ["POST /api/show", "DELETE /api/delete"]


def test_rm_deletes_a_model_that_cannot_be_unloaded(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/show": Reply(500, json={"error": "broken"}), "DELETE /api/delete": Reply()}
    result = puna("rm", "a")
    assert (result.status, result.stdout) == (0, "deleted 'a'\n")
    assert result.shown.endswith("Warning: unable to stop model 'a'\n")


def test_stop_is_silent(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(json={"details": {}}),
        "POST /api/generate": Reply(lines=[{"done": True, "done_reason": "unload"}]),
    }
    result = puna("stop", "a")
    assert (result.status, result.stdout, result.shown.strip("⠋ ")) == (0, "", "")
    assert fake.bodies("POST /api/generate") == [UNLOAD]
    assert fake.bodies("POST /api/show") == [
        {"model": "a", "system": "", "template": "", "verbose": False, "options": None, "name": ""}
    ]


def test_stop_of_a_model_that_does_not_exist(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(404, json={"error": "model 'a:latest' not found"})
    result = puna("stop", "a")
    assert (result.status, result.stdout) == (1, "")
    assert result.shown.endswith('Error: couldn\'t find model "a" to stop\n')


def test_stop_of_a_remote_model_only_asks_for_the_account(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {
        "POST /api/show": Reply(json={"remote_host": "https://ollama.com:443"}),
        "POST /api/me": Reply(json={"name": "x"}),
    }
    assert puna("stop", "a:cloud").status == 0
    assert fake.calls() == ["POST /api/show", "POST /api/me"]


# ---- version, accounts


def test_version_is_that_of_the_server(fake: FakeServer, puna: Puna) -> None:
    fake.answers["GET /api/version"] = Reply(json={"version": "0.1.2"})
    result = puna("--version")
    assert result.stdout.startswith("puna version is 0.1.2\nWarning: client version is ")
    assert fake.calls(without_heartbeat=False) == ["GET /api/version"]
    client = result.stdout.split()[-1]
    fake.answers["GET /api/version"] = Reply(json={"version": client})
    assert puna("-v").stdout == f"puna version is {client}\n"


def test_version_without_a_server_is_a_warning(puna: Puna) -> None:
    from server.settings import Host

    result = puna("-v", host=Host(port=1))
    assert result.status == 0
    assert result.stdout.startswith(
        "Warning: could not connect to a running Puna instance\nWarning: client version is "
    )


SIGN_IN = Reply(401, json={"error": "unauthorized", "signin_url": "https://ollama.com/connect?key=k"})


def test_signin_names_the_account_or_the_way_to_one(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/me"] = Reply(json={"name": "ada"})
    assert puna("signin").stdout == "You are already signed in as user 'ada'\n\n"
    assert fake.bodies("POST /api/me") == [None]
    fake.answers["POST /api/me"] = SIGN_IN
    result = puna("login")
    assert (result.status, result.stdout) == (
        0,
        "You need to be signed in to Ollama to run Cloud models.\n\n"
        "If your browser did not open, navigate to:\n    https://ollama.com/connect?key=k\n\n",
    )
    fake.answers["POST /api/me"] = Reply(503, json={"error": "account unavailable"})
    assert puna("signin").stderr == "Error: account unavailable\n"


def test_signout_says_whether_there_was_an_account(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/signout"] = Reply(text="null")
    assert puna("signout").stdout == "You have signed out of ollama.com\n\n"
    fake.answers["POST /api/signout"] = Reply(401, json={"error": "you are not currently signed in"})
    result = puna("logout")
    assert (result.status, result.stdout) == (0, "You are not signed in to ollama.com\n\n")
