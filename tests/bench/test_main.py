"""The benchmark from its arguments to its record, with small cases, small models and a made-up peer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as bench
from bench import machine
from bench.cases import CASES, GPU_CASES, Against, Case
from bench.machine import Native
from bench.random_model import EMBED, LLAMA_8B
from bench.servers import Loading, llama_server_command

FAKE = Path(__file__).parent.parent / "fakes" / "llama_server.py"


@pytest.fixture(autouse=True)
def fake_peer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLAMA_SERVER", str(FAKE))
    monkeypatch.setattr(bench, "WORK", tmp_path)


def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ask_native", lambda: Native(False, "CPU : NONE = 1"))


@pytest.mark.model
def test_a_run_on_a_gpu_is_tried_out_without_one_and_its_record_says_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_gpu(monkeypatch)
    names = ["sixty-four-streams", "json-schema-own"]  # against the peer; against Puna itself
    status = bench.main(["--gpu", "--quick", "--rounds", "1", "--results", str(tmp_path / "results"), *names])
    assert status == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    (path,) = (tmp_path / "results").iterdir()
    record = json.loads(path.read_text())
    assert [case["name"] for case in record["cases"]] == names
    for case in record["cases"]:
        assert case["asked"]["model"] == "tiny-8b.Q4_K_M.gguf" and case["asked"]["loading"]["on_gpu"] is True
        assert [entry["tokens_per_s"] > 0 for entry in case["rounds"]] == [True] * 2
    check_description(record)


def check_description(record: dict[str, Any]) -> None:
    assert (record["rounds"], record["is_quick"], record["on_gpu"]) == (1, True, True)
    assert record["machine"]["cores"] >= 1 and record["machine"]["cpu"]
    puna = record["puna"]
    assert puna["system_info"] == "CPU : NONE = 1"
    assert puna["commit"] is None or len(puna["commit"]) == 40
    assert isinstance(puna["is_dirty"], bool) and "llama-cpp-python" in puna["versions"]
    assert puna["compilation"] is None or {"backend", "options", "c_flags", "cxx_flags"} <= puna["compilation"].keys()
    assert record["peer"] == {"server": str(FAKE), "options": {}, "system_info": ""}


def test_without_a_gpu_nothing_is_measured_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpu(monkeypatch)
    with pytest.raises(SystemExit, match="finds no GPU: `make setup BACKEND=cuda`"):
        bench.main(["--gpu", "one-stream"])


@pytest.mark.parametrize("arguments", [["sixty-four-streams"], ["--gpu", "memory"], ["--peer-flags", "other"]])
def test_what_there_is_not_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.parse_arguments(arguments)
    assert "choose from" in capsys.readouterr().err


def test_all_cases_run_unless_some_are_named() -> None:
    assert bench.parse_arguments([]).cases == ("startup", *CASES)
    assert bench.parse_arguments(["--gpu"]).cases == ("startup", *GPU_CASES)
    assert bench.parse_arguments(["chat", "startup"]).cases == ["chat", "startup"]


@pytest.mark.parametrize("case", GPU_CASES.values(), ids=GPU_CASES.keys())
def test_on_a_gpu_all_layers_of_the_large_model_lie_there(case: Case) -> None:
    assert case.on_gpu and case.shape is (EMBED if case.name == "embeddings" else LLAMA_8B)
    assert case.loading.n_gpu_layers > case.shape.n_layer
    assert case.n_prompt + case.n_predict <= case.n_ctx


def test_on_a_gpu_the_numbers_of_streams_are_those_of_servers() -> None:
    plain = [case for case in GPU_CASES.values() if case.name.endswith(("-stream", "-streams"))]
    assert [case.n_streams for case in plain] == [1, 8, 32, 64]
    assert {case.against for case in plain} == {Against.PEER}


@pytest.mark.parametrize(
    ("loading", "arguments"),
    [
        (Loading(4, 512), "-np 4 -c 2048 -ngl 0"),
        (Loading(1, 512, n_threads=3, embeds=True), "-np 1 -c 512 -ngl 0 -t 3 --embeddings"),
        (Loading(64, 512, on_gpu=True), "-np 64 -c 32768 -ngl 999"),
    ],
)
def test_the_peer_is_told_how_to_load_the_model(loading: Loading, arguments: str) -> None:
    command = llama_server_command(Path("llama-server"), Path("m.gguf"), loading, 1234)
    told = ["llama-server", "-m", "m.gguf", "--host", "127.0.0.1", "--port", "1234", "--no-webui"]
    assert command == [*told, *arguments.split()]
