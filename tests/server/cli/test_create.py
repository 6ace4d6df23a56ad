"""`puna create`: what a Modelfile asks for, which files are sent, what is shown."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from models.modelfile import parse_modelfile
from server.cli.create import read_recipe
from server.cli.errors import CliError
from server.cli.model_files import expand_path, files_at, request_names
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Reply

GGUF = b"GGUF\x03\x00\x00\x00"
SUCCESS = Reply(lines=[{"status": "writing manifest"}, {"status": "success"}])


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, without symbolic links in its path."""
    path = tmp_path.resolve() / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def server(fake: FakeServer) -> FakeServer:
    fake.answers |= {"POST *": Reply(201), "POST /api/create": SUCCESS}
    return fake


def fields_of(folder: Path, text: str) -> dict[str, Any]:
    return read_recipe(parse_modelfile(text), folder, Path("/home/ada")).fields


# ---- the request


def test_all_commands_become_fields(folder: Path) -> None:
    assert fields_of(
        folder,
        "FROM llama3\nTEMPLATE {{ .Prompt }}\nSYSTEM first\nSYSTEM second\nLICENSE a\nLICENSE b\n"
        "RENDERER r\nPARSER p\nREQUIRES v0.14.0\nPARAMETER stop x\nPARAMETER stop y\nPARAMETER top_k 3\n"
        "PARAMETER temperature 0.1\nMESSAGE user hi\nMESSAGE assistant ho: ho\n",
    ) == {
        "from": "llama3",
        "template": "{{ .Prompt }}",
        "system": "second",
        "license": ["a", "b"],
        "renderer": "r",
        "parser": "p",
        "requires": "0.14.0",
        "parameters": {"stop": ["x", "y"], "top_k": 3, "temperature": 0.1},
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho: ho"}],
    }


def test_what_is_not_said_is_not_sent(folder: Path) -> None:
    assert fields_of(folder, "FROM llama3") == {"from": "llama3"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("FROM x\nREQUIRES soon", "requires must be a valid semver (e.g. 0.14.0)"),
        ("FROM x\nREQUIRES 0.014.0", "requires must be a valid semver (e.g. 0.14.0)"),
        ("FROM x\nPARAMETER nope 1", "unknown parameter 'nope'"),
        ("FROM x\nPARAMETER top_k many", "invalid int value [many]"),
        ("FROM x\nADAPTER ./lora.gguf", "stat {folder}/lora.gguf: no such file or directory"),
        ("FROM x\nDRAFT /nowhere/draft.gguf", "stat /nowhere/draft.gguf: no such file or directory"),
        (
            "FROM ~nobody-of-this-name/x",
            "failed to find user 'nobody-of-this-name': user: unknown user nobody-of-this-name",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(folder: Path, text: str, error: str) -> None:
    with pytest.raises(CliError, match=re.escape(error.format(folder=folder))):
        read_recipe(parse_modelfile(text), folder, Path("/home/ada"))


@pytest.mark.parametrize("version", ["0.14.0", "v1", "1.2", "1.2.3-rc.1+build"])
def test_versions_that_count(folder: Path, version: str) -> None:
    assert fields_of(folder, f"FROM x\nREQUIRES {version}")["requires"] == version.removeprefix("v")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b", "/a/b"),
        ("./m.gguf", "/base/m.gguf"),
        ("m.gguf", "/base/m.gguf"),
        ("../m.gguf", "/m.gguf"),
        (".", "/base"),
        ("~", "/home/ada"),
        ("~/m.gguf", "/home/ada/m.gguf"),
        ("~root/m.gguf", "/root/m.gguf"),
        ("", "/base"),
    ],
)
def test_paths_start_at_the_modelfile(text: str, expected: str) -> None:
    assert expand_path(text, Path("/base"), Path("/home/ada")) == Path(expected)


# ---- which files


def write(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


ZIP, BINARY, JSON = b"PK\x03\x04", b"\x00\x01\x02\x03", b"{}"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "model-1_DOT_safetensors": b"",
                "model-2_DOT_safetensors": b"",
                "dense__model_DOT_safetensors": b"",
                "config_DOT_json": JSON,
                "dense__config_DOT_json": JSON,
                "chat_template_DOT_jinja": b"{{ x }}",
                "tokenizer_DOT_model": BINARY,
                "x_DOT_gguf": GGUF,
            },
            "model-1.safetensors model-2.safetensors dense/model.safetensors config.json dense/config.json "
            "chat_template.jinja tokenizer.model",
        ),
        ({"consolidated_DOT_safetensors": b"x", "x_DOT_gguf": GGUF}, "consolidated.safetensors"),
        ({"adapter_model_DOT_safetensors": b"x", "x_DOT_bin": b"x"}, "adapter_model.safetensors"),
        ({"pytorch_model_DOT_bin": ZIP, "x_DOT_gguf": GGUF}, "pytorch_model.bin"),
        ({"pytorch_model_DOT_bin": b"lfs pointer", "x_DOT_gguf": GGUF}, "x.gguf"),
        ({"consolidated_DOT_00_DOT_pth": ZIP, "params_DOT_json": JSON}, "consolidated.00.pth params.json"),
        ({"b_DOT_gguf": GGUF, "a_DOT_gguf": GGUF}, "a.gguf b.gguf"),
        ({"a_DOT_bin": GGUF}, "a.bin"),
        ({"x_DOT_gguf": GGUF, "sub__tokenizer_DOT_model": b"text"}, "x.gguf sub/tokenizer.model"),
        ({"x_DOT_gguf": GGUF, "sub__tokenizer_DOT_model": BINARY}, "x.gguf"),
    ],
)
def test_a_folder_stands_for_its_weights_and_what_belongs_to_them(
    folder: Path, files: dict[str, bytes], expected: str
) -> None:
    write(folder, **files)
    assert [path.relative_to(folder).as_posix() for path in files_at(folder)] == expected.split()


@pytest.mark.parametrize("files", [{}, {"readme_DOT_md": b"x"}, {"x_DOT_gguf": b"a pointer to a file"}])
def test_a_folder_without_weights_is_no_model(folder: Path, files: dict[str, bytes]) -> None:
    write(folder, **files)
    with pytest.raises(CliError, match=r"^no Modelfile or safetensors files found$"):
        files_at(folder)


def test_a_companion_of_another_type_is_refused_by_the_type_that_it_has(folder: Path) -> None:
    write(folder, x_DOT_gguf=GGUF, config_DOT_json=BINARY)
    with pytest.raises(CliError) as caught:
        files_at(folder)
    assert str(caught.value) == f"invalid content type: expected application/octet-stream for {folder}/config.json"


def test_a_link_to_the_outside_is_refused(folder: Path) -> None:
    write(folder, real_DOT_gguf=GGUF, cache__x=GGUF)
    inside = folder / "model"
    inside.mkdir()
    (inside / "m.gguf").symlink_to(folder / "real.gguf")
    with pytest.raises(CliError) as caught:
        files_at(inside)
    assert str(caught.value) == "insecure path: ../real.gguf"


def test_a_link_into_a_cache_gets_advice(folder: Path) -> None:
    (folder / ".cache").mkdir()
    (folder / ".cache" / "blob").write_bytes(GGUF)
    inside = folder / "model"
    inside.mkdir()
    (inside / "m.gguf").symlink_to(folder / ".cache" / "blob")
    with pytest.raises(CliError, match=r"^insecure path: \.\./\.cache/blob\n\nUse --local-dir <dir> when downloading"):
        files_at(inside)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    write(folder, real_DOT_gguf=GGUF)
    (folder / "link.gguf").symlink_to("real.gguf")
    assert files_at(folder) == [folder / "real.gguf"] * 2


def test_a_folder_behind_a_link_is_refused(folder: Path) -> None:
    write(folder, real__x_DOT_gguf=GGUF)
    (folder / "link").symlink_to("real")
    with pytest.raises(CliError, match=r"^insecure path: \.\./real/x\.gguf$"):
        files_at(folder / "link")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/b/m.gguf"], ["m.gguf"]),
        (["/a/b/m.gguf", "/a/b/n.gguf"], ["m.gguf", "n.gguf"]),
        (["/a/b/m.gguf", "/a/c/n.gguf"], ["b/m.gguf", "c/n.gguf"]),
        (["/a/b/c/m.gguf", "/a/b/n.gguf"], ["c/m.gguf", "n.gguf"]),
    ],
)
def test_files_are_named_from_the_folder_they_share(paths: list[str], names: list[str]) -> None:
    assert list(request_names(map(Path, paths)).values()) == names


# ---- the command


def test_create_uploads_files_and_sends_their_digests(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, m_DOT_gguf=GGUF, lora_DOT_gguf=GGUF + b"2", Modelfile=b"FROM ./m.gguf\nADAPTER ./lora.gguf\n")
    result = puna("create", "mine")
    assert (result.status, result.stdout) == (0, "")
    assert sorted(server.calls()[:2]) == sorted(f"POST /api/blobs/{digest_of(data)}" for data in (GGUF, GGUF + b"2"))
    assert server.bodies("POST /api/create") == [
        {
            "model": "mine",
            "files": {"m.gguf": digest_of(GGUF)},
            "adapters": {"lora.gguf": digest_of(GGUF + b"2")},
            "name": "",
        }
    ]
    assert [r.body for r in server.requests if r.path == f"/api/blobs/{digest_of(GGUF)}"] == [GGUF]
    shown = result.shown
    assert "gathering model components" in shown
    assert f"copying file {digest_of(GGUF)} 100%" in shown
    assert shown.endswith("writing manifest \nsuccess \n")


def test_equal_files_are_sent_once(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, a__m_DOT_gguf=GGUF, b__m_DOT_gguf=GGUF, Modelfile=b"FROM ./a/m.gguf\nFROM ./b/m.gguf\n")
    assert puna("create", "mine").status == 0
    assert server.calls() == [f"POST /api/blobs/{digest_of(GGUF)}", "POST /api/create"]
    assert server.bodies("POST /api/create")[0]["files"] == dict.fromkeys(["a/m.gguf", "b/m.gguf"], digest_of(GGUF))


def test_the_modelfile_may_lie_elsewhere(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, sub__m_DOT_gguf=GGUF, sub__my_DOT_modelfile=b"FROM m.gguf\n")
    assert puna("create", "-f", "sub/my.modelfile", "mine").status == 0
    assert list(server.bodies("POST /api/create")[0]["files"]) == ["m.gguf"]


@pytest.mark.parametrize("argv", [[], ["-f", "missing"]])
def test_a_missing_modelfile_reads_as_the_folder(server: FakeServer, puna: Puna, folder: Path, argv: list[str]) -> None:
    write(folder, m_DOT_gguf=GGUF)
    assert puna("create", "mine", *argv).status == 0
    assert list(server.bodies("POST /api/create")[0]["files"]) == ["m.gguf"]


def test_a_modelfile_in_utf_16_is_read(server: FakeServer, puna: Puna, folder: Path) -> None:
    (folder / "Modelfile").write_bytes("FROM llama3\nSYSTEM grüß\n".encode("utf-16"))
    assert puna("create", "mine").status == 0
    assert server.bodies("POST /api/create")[0]["system"] == "grüß"


def test_quantization_is_asked_for(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, m_DOT_gguf=GGUF, d_DOT_gguf=b"GGUFd\0", Modelfile=b"FROM ./m.gguf\nDRAFT ./d.gguf")
    assert puna("create", "mine", "-q", "q4_K_M", "--draft-quantize", "q8_0").status == 0
    (request,) = server.bodies("POST /api/create")
    assert (request["quantize"], request["draft_quantize"]) == ("q4_K_M", "q8_0")
    assert request["draft_files"] == {"d.gguf": digest_of(b"GGUFd\0")}


@pytest.mark.parametrize(
    ("modelfile", "argv", "error"),
    [
        ("SYSTEM x", [], "no FROM line"),
        ("FROM x\nNOPE y", [], '(line 2): command must be one of "from"'),
        ("FROM x", ["--draft-quantize", "q8_0"], "--draft-quantize requires a DRAFT model"),
        ("FROM ./m.gguf\nDRAFT ./m.gguf", [], "DRAFT must not reference the same local path as FROM: "),
        ("DRAFT ./m.gguf\nFROM ./m.gguf", [], "DRAFT must not reference the same local path as FROM: "),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    server: FakeServer, puna: Puna, folder: Path, modelfile: str, argv: list[str], error: str
) -> None:
    write(folder, Modelfile=modelfile.encode(), m_DOT_gguf=GGUF)
    result = puna("create", "mine", *argv)
    assert result.status == 1
    assert f"\nError: {error}" in result.shown
    assert server.calls() == []


def test_an_invalid_name_is_told_before_files_are_read(server: FakeServer, puna: Puna, folder: Path) -> None:
    result = puna("create", "a b")
    assert (result.status, result.stderr) == (1, "Error: invalid model name: a b\n")


def test_deprecated_parameters_are_warned_of(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, Modelfile=b"FROM x\nPARAMETER use_mlock 1\nPARAMETER top_k 1\n")
    assert puna("create", "mine").stdout == "warning: parameter use_mlock is deprecated\n"
    assert server.bodies("POST /api/create")[0]["parameters"] == {"top_k": 1}


def test_a_refused_upload_is_the_error(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, m_DOT_gguf=GGUF, Modelfile=b"FROM ./m.gguf")
    server.answers["POST *"] = Reply(400, json={"error": "digest mismatch"})
    result = puna("create", "mine")
    assert result.status == 1
    assert result.stderr.endswith("\nError: digest mismatch\n")
    assert "POST /api/create" not in server.calls()


def test_progress_with_a_digest_is_a_bar(server: FakeServer, puna: Puna, folder: Path) -> None:
    write(folder, Modelfile=b"FROM x")
    status = "quantizing F16 model to Q4_K_M"
    lines = [{"status": status, "digest": "0" * 19, "total": 10, "completed": n} for n in (0, 10)]
    server.answers["POST /api/create"] = Reply(lines=[*lines, {"status": "success"}])
    assert f"{status} 100% ▕█" in puna("create", "mine", "-q", "q4_K_M").shown
