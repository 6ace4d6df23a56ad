from __future__ import annotations

import pytest

from registry.errors import ConflictingSource, InvalidName
from registry.names import ModelName, Source, matches, parse_source, to_cloud_name

DEFAULT = "registry.ollama.ai"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mistral", (DEFAULT, "library", "mistral", "latest")),
        ("mistral:7b", (DEFAULT, "library", "mistral", "7b")),
        ("u/m:7b", (DEFAULT, "u", "m", "7b")),
        ("library/chat", (DEFAULT, "library", "chat", "latest")),
        ("registry.ollama.ai/library/chat:latest", (DEFAULT, "library", "chat", "latest")),
        ("hf.co/u/Repo-GGUF:Q4_K_M", ("hf.co", "u", "Repo-GGUF", "Q4_K_M")),
        ("hf.co/u/r:Q4_K_M@v1.0", ("hf.co", "u", "r", "Q4_K_M--v1.0")),
        ("hf.co/u/r@main", ("hf.co", "u", "r", "latest--main")),
        ("https://HuggingFace.co/u/r@abc", ("HuggingFace.co", "u", "r", "latest--abc")),
        ("hf.co/u/r:Q8_0@refs/pr/1", ("hf.co", "u", "r", "Q8_0--refs..pr..1")),
        ("hf.co/u/r@refs%2Fpr%2f1", ("hf.co", "u", "r", "latest--refs..pr..1")),
        ("https://hf.co/u/r@feature/a--b.c", ("hf.co", "u", "r", "latest--feature..a--b.c")),
        ("localhost:5000/ns/m", ("localhost:5000", "ns", "m", "latest")),
        ("localhost:5000/ns/m:t", ("localhost:5000", "ns", "m", "t")),
        ("http://h/ns/m", ("h", "ns", "m", "latest")),
        ("https://h:80/ns/m:t", ("h:80", "ns", "m", "t")),
        ("_why/_the/_lucky:_stiff", ("_why", "_the", "_lucky", "_stiff")),
        ("A.b-c_d/e-f_g/H.i-j_k:L.m-n_o", ("A.b-c_d", "e-f_g", "H.i-j_k", "L.m-n_o")),
        ("0", (DEFAULT, "library", "0", "latest")),
        ("h" * 350 + "/" + "n" * 80 + "/" + "m" * 80 + ":" + "t" * 80, ("h" * 350, "n" * 80, "m" * 80, "t" * 80)),
    ],
)
def test_a_name_is_split_and_completed(text: str, parts: tuple[str, ...]) -> None:
    name = ModelName.parse(text)
    assert name.parts == parts
    assert name.full == str(name) == "{}/{}/{}:{}".format(*parts)
    assert name.path.parts == parts
    assert ModelName.parse(name.full) == name
    assert ModelName.parse(name.display) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "/",
        "m:",
        ":t",
        "/m",
        "m/",
        "a//b",
        "//m",
        "a//m",
        ".m",
        "-m",
        "m:.x",
        "m:-x",
        "m@v1",
        "u/m@sha256:" + "0" * 64,
        "h/u/m:t@v1",
        "hf.co/m@v1",
        "hf.co/u/m@",
        "hf.co/u/m:@v1",
        "hf.co/u/m@a@b",
        "hf.co/u/m@/a",
        "hf.co/u/m@a/",
        "hf.co/u/m@a//b",
        "hf.co/u/m@a/../b",
        "hf.co/u/m@a/.b",
        "hf.co/u/m@a..b",
        "hf.co/u/m@%2Fetc%2Fpasswd",
        "hf.co/u/m@a%2e%2e/b",
        "hf.co/u/m@a/b:c",
        "hf.co/u/m@a/" + "b" * 80,
        "h/u/m:t@a/b",
        "hf.co/u/m@sha256:" + "0" * 64,
        "hf.co/u/m:t@sha256:" + "0" * 64,
        "x/hf.co/u/m@v1",
        "..",
        "../m",
        "a/../m",
        "../../etc/passwd",
        "h/n/..",
        "h/n/m:..",
        "localhost:5000/m",
        "http://h/m",
        "http:///n/m",
        "a/b/c/d",
        "my.team/bot",
        "a b",
        " a",
        "a\n",
        "m:t\n",
        "a\0b",
        "a\\b",
        "modèle",
        "\uff4d",
        "chat@sha256:" + "0" * 64,
        "m@t",
        "h" * 351 + "/n/m",
        "n" * 81 + "/m",
        "m" * 81,
        "m:" + "t" * 81,
        "h/n/m:a:b/c",
        "m:a:b",
    ],
)
def test_what_is_outside_the_grammar_is_no_name(text: str) -> None:
    with pytest.raises(InvalidName, match=r"^invalid model name$") as caught:
        ModelName.parse(text)
    assert caught.value.text == text


def test_parts_from_disk_are_checked_and_never_filled_in() -> None:
    assert ModelName.from_parts("h", "n", "m", "t") == ModelName("h", "n", "m", "t")
    for parts in [("h", "n", "m", ""), ("h", "n", "m", ".DS_Store"), ("..", "n", "m", "t"), ("h", "a.b", "m", "t")]:
        with pytest.raises(InvalidName):
            ModelName.from_parts(*parts)


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("mistral", "mistral:latest"),
        ("Mistral:7B", "Mistral:7B"),
        ("user/m:7b", "user/m:7b"),
        ("hf.co/u/m:Q4_K_M", "hf.co/u/m:Q4_K_M"),
        ("hf.co/library/m", "hf.co/library/m:latest"),
        ("Registry.Ollama.AI/Library/m", "m:latest"),
        ("Registry.Ollama.AI/u/m", "u/m:latest"),
    ],
)
def test_the_display_form_drops_defaults_but_never_the_tag(text: str, display: str) -> None:
    assert ModelName.parse(text).display == display


def test_names_match_in_any_case_of_all_their_parts() -> None:
    assert matches(ModelName.parse("HF.co/U/m:Q4_k_m"), ModelName.parse("hf.co/u/M:Q4_K_M"))
    assert not matches(ModelName.parse("m:a"), ModelName.parse("m:b"))


@pytest.mark.parametrize(
    ("text", "base", "source"),
    [
        ("chat", "chat", Source.ANY),
        ("  chat  ", "chat", Source.ANY),
        ("chat:7b", "chat:7b", Source.ANY),
        ("chat:local", "chat", Source.LOCAL),
        ("chat:LOCAL", "chat", Source.LOCAL),
        ("chat:7b:local", "chat:7b", Source.LOCAL),
        ("chat: local ", "chat", Source.LOCAL),
        ("chat:cloud", "chat", Source.CLOUD),
        ("u/chat:Cloud", "u/chat", Source.CLOUD),
        ("gpt-oss:20b-cloud", "gpt-oss:20b", Source.CLOUD),
        ("gpt-oss:20B-CLOUD", "gpt-oss:20B", Source.CLOUD),
        ("my-cloud-model", "my-cloud-model", Source.ANY),
        ("foo-cloud", "foo-cloud", Source.ANY),
        ("foo-cloud:7b", "foo-cloud:7b", Source.ANY),
        ("localhost:5000/ns/m-cloud", "localhost:5000/ns/m-cloud", Source.ANY),
        ("http://h/n/m", "http://h/n/m", Source.ANY),
        ("chat:cloudy", "chat:cloudy", Source.ANY),
        ("chat:-cloud", "chat:", Source.CLOUD),
        (":cloud", "", Source.CLOUD),
        ("", "", Source.ANY),
        ("   ", "", Source.ANY),
    ],
)
def test_a_source_suffix_is_taken_off(text: str, base: str, source: Source) -> None:
    assert parse_source(text) == (base, source)


@pytest.mark.parametrize(
    "text", ["chat:cloud:local", "chat:local:cloud", "chat:local:local", "chat:7b-cloud:local", " chat:7b-cloud:cloud"]
)
def test_two_source_suffixes_conflict(text: str) -> None:
    with pytest.raises(ConflictingSource) as caught:
        parse_source(text)
    assert str(caught.value) == f'use either :local or :cloud, not both: "{text.strip()}"'


@pytest.mark.parametrize(
    ("base", "name"),
    [("m", "m:cloud"), ("m:7b", "m:7b-cloud"), ("h:80/n/m", "h:80/n/m:cloud"), ("u/m:t", "u/m:t-cloud")],
)
def test_the_stub_of_a_cloud_model_has_its_own_tag(base: str, name: str) -> None:
    assert to_cloud_name(base) == name
    assert parse_source(name) == (base, Source.CLOUD)
