from __future__ import annotations

from typing import Any

import pytest

from server.cli.show import format_info
from tests.server.cli.conftest import Puna
from tests.server.cli.fake_server import FakeServer, Reply

LLAMA: dict[str, Any] = {
    "license": "LLAMA LICENSE\n\n  second line  \nthird",
    "modelfile": "FROM x\n",
    "parameters": 'num_ctx                        4096\nstop                           "<|eot id|>"',
    "template": "{{ .Prompt }}",
    "system": "You are terse.",
    "details": {"family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"},
    "model_info": {
        "general.architecture": "llama",
        "general.parameter_count": 3_212_749_888,
        "llama.context_length": 131072,
        "llama.embedding_length": 3072,
        "llama.rope.freq_base": 500000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-05,
        "tokenizer.ggml.tokens": ["a", "bb", "ccc", "dd"],
        "tokenizer.ggml.types": [1, 1000000],
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.merges": None,
        "general.tags": [],
    },
    "capabilities": ["completion", "tools"],
    "tensors": [{"name": "output.weight", "type": "Q6_K", "shape": [3072, 128256]}],
}


def lines(text: str) -> list[str]:
    return [f"{line}$" for line in text.split("\n")[:-1]]


def test_show_prints_the_sections_of_the_model() -> None:
    assert lines(format_info(LLAMA)) == [
        "  Model$",
        "    architecture        llama     $",
        "    parameters          3.2B      $",
        "    context length      131072    $",
        "    embedding length    3072      $",
        "    quantization        Q4_K_M    $",
        "$",
        "  Capabilities$",
        "    completion    $",
        "    tools         $",
        "$",
        "  Parameters$",
        "    num_ctx    4096      $",
        '    stop       "<|eot    id|>"    $',
        "$",
        "  System$",
        "    You are terse.    $",
        "$",
        "  License$",
        "    LLAMA LICENSE    $",
        "    second line      $",
        "    ...              $",
        "$",
    ]


def test_verbose_adds_metadata_and_tensors() -> None:
    text = format_info({"model_info": LLAMA["model_info"], "tensors": LLAMA["tensors"]}, verbose=True)
    assert lines(text)[7:] == [
        "  Metadata$",
        "    general.architecture                      llama                $",
        "    general.parameter_count                   3.212749888e+09      $",
        "    general.tags                              []                   $",
        "    llama.attention.layer_norm_rms_epsilon    1e-05                $",
        "    llama.context_length                      131072               $",
        "    llama.embedding_length                    3072                 $",
        "    llama.rope.freq_base                      500000               $",
        "    tokenizer.ggml.add_bos_token              true                 $",
        "    tokenizer.ggml.merges                     <nil>                $",
        "    tokenizer.ggml.tokens                     [a bb ...+2 more]    $",
        "    tokenizer.ggml.types                      [1 1e+06]            $",
        "$",
        "  Tensors$",
        "    output.weight    Q6_K    [3072 128256]    $",
        "$",
    ]


def test_a_model_without_facts_shows_its_family() -> None:
    details = {"family": "llama", "parameter_size": "7B", "quantization_level": "Q4_0"}
    assert lines(format_info({"details": details, "requires": "0.14.0"})) == [
        "  Model$",
        "    architecture    llama     $",
        "    parameters      7B        $",
        "    quantization    Q4_0      $",
        "    requires        0.14.0    $",
        "$",
    ]


def test_a_remote_model_names_its_host() -> None:
    info = {"remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443", "model_info": {}, "details": {}}
    assert lines(format_info(info))[1:3] == [
        "    Remote model    gpt-oss:120b              $",
        "    Remote URL      https://ollama.com:443    $",
    ]


def test_the_number_of_parameters_is_counted_when_no_size_is_given() -> None:
    facts = {"general.architecture": "llama", "general.parameter_count": 134_515_008}
    assert "    parameters      134.52M    $" in lines(format_info({"model_info": facts, "details": {}}))


@pytest.mark.parametrize("modality", ["vision", "audio"])
def test_a_projector_has_a_section(modality: str) -> None:
    projector = {
        "general.architecture": "clip",
        "general.parameter_count": 878_414_848,
        f"clip.{modality}.embedding_length": 1152,
        f"clip.{modality}.projection_dim": 2048,
    }
    text = format_info({"model_info": {}, "details": {}, "projector_info": projector})
    assert lines(text)[3:] == [
        "  Projector$",
        "    architecture        clip       $",
        "    parameters          878.41M    $",
        "    embedding length    1152       $",
        "    dimensions          2048       $",
        "$",
    ]


def test_a_long_system_message_wraps_at_a_hundred_columns() -> None:
    text = format_info({"details": {}, "system": "word " * 30})
    section = lines(text)[lines(text).index("  System$") + 1 : -1]
    assert len(section) == 2
    assert section[0].startswith("    word") and section[1].startswith("      word")


@pytest.mark.parametrize(
    ("flag", "stdout"),
    [
        ("--license", LLAMA["license"] + "\n"),
        ("--modelfile", LLAMA["modelfile"] + "\n"),
        ("--parameters", LLAMA["parameters"] + "\n"),
        ("--system", LLAMA["system"]),
        ("--template", LLAMA["template"]),
    ],
)
def test_a_flag_prints_one_part_as_text(fake: FakeServer, puna: Puna, flag: str, stdout: str) -> None:
    fake.answers["POST /api/show"] = Reply(json=LLAMA)
    assert puna("show", "m", flag).stdout == stdout
    assert puna("show", "-v", flag, "m").stdout == stdout


def test_show_sends_the_name_in_the_old_field(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(json=LLAMA)
    puna("show", "m", "--verbose")
    assert fake.bodies("POST /api/show") == [
        {"model": "", "system": "", "template": "", "verbose": True, "options": None, "name": "m"}
    ]


def test_only_one_part_can_be_asked_for(fake: FakeServer, puna: Puna) -> None:
    result = puna("show", "m", "--license", "--system")
    assert result.status == 1
    assert result.stderr == (
        "Error: only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified\n"
    )


def test_models_that_draw_are_refused(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(json={"capabilities": ["image"]})
    assert puna("show", "m").stderr == "Error: image generation models are not currently supported\n"


def test_a_missing_model_is_reported_as_the_server_says(fake: FakeServer, puna: Puna) -> None:
    fake.answers["POST /api/show"] = Reply(404, json={"error": "model 'm:latest' not found"})
    assert puna("show", "m").stderr == "Error: model 'm:latest' not found\n"
