"""Where the time goes: all of it goes somewhere, and every token is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import profile, random_model
from bench.cases import GPU_CASES, Case
from bench.profile import EngineTimes, engine_table, load_engine, run_burst
from models.runner import loading


def small(name: str) -> Case:
    return GPU_CASES[name].quick()


@pytest.mark.model
@pytest.mark.parametrize("name", ["eight-streams", "json-schema"])
def test_a_burst_is_divided_into_its_parts(tmp_path: Path, name: str) -> None:
    case = replace(small(name), n_predict=6)
    usual = vars(loading)["Context"]
    service = load_engine(case, random_model.make(case.shape, tmp_path))
    assert vars(loading)["Context"] is usual
    for number in range(2):
        times = run_burst(service, case, number)
        assert times.n_tokens == case.n_streams * case.n_predict
        assert times.n_steps >= case.n_predict
        assert min(times.prompts_s, times.decoding_s, times.sampling_s, times.rest_s) > 0


@pytest.mark.model
def test_both_tables_are_printed_and_their_rounds_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profile, "WORK", tmp_path)
    results = tmp_path / "results"
    arguments = ["sixty-four-streams", "--gpu", "--quick", "--rounds", "1", "--results", str(results)]
    assert profile.main(arguments) == 0
    text = capsys.readouterr().out
    for line in ("llama_decode, prompts", "sampling", "the rest", "over HTTP", "runner, engine and llama.cpp"):
        assert line in text
    (path,) = results.iterdir()
    record = json.loads(path.read_text())
    assert record["profile"] == "sixty-four-streams" and record["asked"]["streams"] == 3
    assert [times["n_tokens"] for times in (*record["engine"], *record["processes"])] == [3 * 8] * 2
    assert {"machine", "puna", "at"} <= record.keys()


def test_shares_are_those_of_the_median_round() -> None:
    rounds = [EngineTimes(0.5, 0.3, 0.1, total, 10, 100) for total in (1.0, 1.0, 9.0)]
    lines = {line[:24].strip(): line[24:].split() for line in engine_table(rounds).splitlines()}
    assert lines["llama_decode, prompts"] == ["0.500", "50.0%", "50.00", "5000.0"]
    assert lines["the rest"] == ["0.100", "10.0%", "10.00", "1000.0"]


@pytest.mark.parametrize("arguments", [["sixty-four-streams"], ["one-stream-1b", "--gpu", "--quick"], ["chat"]])
def test_only_bursts_of_the_table_that_is_asked_for_are_profiled(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        profile.main(arguments)
