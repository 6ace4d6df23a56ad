"""pull and push: what is asked, what is shown, what is said of failures."""

from __future__ import annotations

import pytest

from server.cli.pull import cloud_variant
from server.cli.push import destination
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Json, Reply

DIGEST = "sha256:0123456789abcdef" + "0" * 48
LABEL = "pulling 0123456789ab:"
PULLED: list[Json] = [
    {"status": "pulling manifest"},
    {"status": "pulling 0123456789ab", "digest": DIGEST, "total": 1000},
    {"status": "pulling 0123456789ab", "digest": DIGEST, "total": 1000, "completed": 500},
    {"status": "pulling 0123456789ab", "digest": DIGEST, "total": 1000, "completed": 1000},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]


def last_drawing(shown: str) -> list[str]:
    """The lines of the progress area as they stay on the screen."""
    lines = shown.rstrip("\n").split("\n")
    return [line.rstrip() for line in lines]


def test_pull_shows_a_bar_for_each_layer_and_a_line_for_each_status(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/pull"] = Reply(lines=PULLED)
    result = puna("pull", "m")
    assert (result.status, result.stdout) == (0, "")
    lines = last_drawing(result.shown)[-5:]
    assert lines[0].endswith("pulling manifest")
    assert lines[1].startswith(f"{LABEL} 100% ▕█") and lines[1].endswith("▏   1 KB")
    assert lines[2:] == ["verifying sha256 digest", "writing manifest", "success"]
    assert result.stderr.endswith("\x1b[?25h\x1b[?2026l\n")
    assert fake.bodies("POST /api/pull") == [{"model": "", "username": "", "password": "", "name": "m"}]


def test_pull_from_an_insecure_registry_says_so(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/pull"] = Reply(lines=PULLED)
    puna("pull", "--insecure", "localhost:5000/a/m")
    assert fake.bodies("POST /api/pull") == [
        {"model": "", "insecure": True, "username": "", "password": "", "name": "localhost:5000/a/m"}
    ]


def test_a_layer_that_has_not_begun_has_no_bar(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/pull"] = Reply(lines=PULLED[:2])
    assert LABEL not in puna("pull", "m").shown


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(400, json={"error": "invalid model name"}), "400 Bad Request: invalid model name"),
        (Reply(lines=[*PULLED[:2], {"error": "pull model manifest: 500: x"}]), "pull model manifest: 500: x"),
    ],
)
def test_pull_reports_what_failed(fake: FakeServer, puna: Puna, reply: Reply, text: str) -> None:
    fake.answers["POST /api/pull"] = reply
    result = puna("pull", "m")
    assert result.status == 1
    assert result.stderr.endswith(f"\nError: {text}\n")


NOT_FOUND = Reply(lines=[{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}])


def test_a_model_that_exists_only_in_the_cloud_is_suggested(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/pull": NOT_FOUND, "POST /api/show": Reply(json={"remote_host": "https://x"})}
    result = puna("pull", "kimi")
    assert result.status == 1
    assert result.stderr.endswith(
        'Error: pull model manifest: file does not exist\n\n"kimi:cloud" is available as a cloud model. Try:\n'
        "  puna pull kimi:cloud\n"
    )
    assert fake.bodies("POST /api/show")[0]["model"] == "kimi:cloud"


def test_a_model_that_exists_nowhere_is_not(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/pull": NOT_FOUND, "POST /api/show": Reply(403, json={"error": "cloud is disabled"})}
    assert puna("pull", "kimi").stderr.endswith("\nError: pull model manifest: file does not exist\n")
    fake.requests.clear()
    assert puna("pull", "kimi", "--insecure").status == 1
    assert fake.calls() == ["POST /api/pull"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", "kimi:cloud"),
        ("ada/kimi", "ada/kimi:cloud"),
        ("registry.ollama.ai/library/kimi", "registry.ollama.ai/library/kimi:cloud"),
        ("kimi:latest", None),
        ("kimi:cloud", None),
        ("kimi:7b-cloud", None),
        ("kimi:local", None),
        ("example.com/a/kimi", None),
        ("a b", None),
        ("", None),
        ("x:cloud:local", None),
    ],
)
def test_only_bare_names_of_the_default_registry_have_a_cloud_variant(name: str, expected: str | None) -> None:
    assert cloud_variant(name) == expected


PUSHED: list[Json] = [
    {"status": "retrieving manifest"},
    {"status": "pushing 0123456789ab", "digest": DIGEST, "total": 1000},
    {"status": "pushing 0123456789ab", "digest": DIGEST, "total": 1000, "completed": 1000},
    {"status": "pushing manifest"},
    {"status": "success"},
]


def test_push_says_where_the_model_is(fake: FakeServer, puna: Puna) -> None:
    fake.answers |= {"POST /api/push": Reply(lines=PUSHED), "POST /api/me": Reply(json={"name": "ada"})}
    result = puna("push", "ada/m")
    assert (result.status, result.stdout) == (0, "\nYou can find your model at:\n\n\thttps://ollama.com/ada/m\n")
    assert fake.calls() == ["POST /api/me", "POST /api/push"]
    assert "pushing 0123456789ab 100%" in result.shown
    fake.requests.clear()
    assert puna("push", "example.com/ada/m:7b").stdout.endswith("\n\texample.com/ada/m:7b\n")
    assert fake.calls() == ["POST /api/push"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m", "https://ollama.com/m"),
        ("m:7b", "https://ollama.com/m:7b"),
        ("ada/m:latest", "https://ollama.com/ada/m"),
        ("localhost:5000/ada/m", "localhost:5000/ada/m:latest"),
    ],
)
def test_the_destination_of_a_push(name: str, expected: str) -> None:
    assert destination(name) == expected


def test_push_without_an_account_tells_the_way_to_one(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/me"] = Reply(401, json={"error": "unauthorized", "signin_url": "https://sign/in"})
    result = puna("push", "ada/m")
    assert (result.status, result.stdout) == (
        0,
        "You need to be signed in to push models to ollama.com.\n\n"
        "If your browser did not open, navigate to:\n    https://sign/in\n\n",
    )
    assert fake.calls() == ["POST /api/me"]


@pytest.mark.parametrize("text", ["unauthorized: access denied", "Access Denied", "401: UNAUTHORIZED"])
def test_push_to_a_foreign_namespace(fake: FakeServer, puna: Puna, text: str) -> None:
    fake.answers["POST /api/push"] = Reply(lines=[{"error": text}])
    assert puna("push", "example.com/ada/m").stderr.endswith(
        "Error: you are not authorized to push to this namespace, create the model under a namespace you own\n"
    )


def test_push_of_an_invalid_name_is_left_to_the_server(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/push"] = Reply(lines=[{"error": "unqualified name: x"}])
    assert puna("push", "a b").stderr.endswith("\nError: unqualified name: x\n")
