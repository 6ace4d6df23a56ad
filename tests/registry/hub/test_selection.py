from __future__ import annotations

import pytest

from registry.errors import HubRefusal
from registry.hub.selection import HubFile, choose, choose_projector, is_clean_path, label_of

QUANTISED = ["m-BF16.gguf", "m-IQ4_XS.gguf", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q8_0.gguf"]
SHARDS = [f"m-BF16/m-BF16-{n:05}-of-00003.gguf" for n in (1, 2, 3)]
DYNAMIC = ["m-Q4_K_XL.gguf", "m-UD-Q4_K_XL.gguf", "UD-Q2_K/m.gguf"]


def files(*paths: str) -> list[HubFile]:
    return [HubFile(path, 1) for path in paths]


def chosen(paths: list[str], label: str) -> list[str]:
    return [file.path for file in choose(files(*paths), label).weights]


@pytest.mark.parametrize(
    ("paths", "label", "expected"),
    [
        (QUANTISED, "", ["m-Q4_K_M.gguf"]),
        (QUANTISED, "Q8_0", ["m-Q8_0.gguf"]),
        (QUANTISED, "q8_0", ["m-Q8_0.gguf"]),
        (QUANTISED, "iq4_xs", ["m-IQ4_XS.gguf"]),
        (QUANTISED, "m-BF16.gguf", ["m-BF16.gguf"]),
        (QUANTISED, "M-bf16", ["m-BF16.gguf"]),
        (["m-Q8_0.gguf", "m-Q5_0.gguf"], "", ["m-Q5_0.gguf"]),
        (["weights.gguf"], "", ["weights.gguf"]),
        (["README.md", "weights.gguf", "config.json"], "", ["weights.gguf"]),
        ([*QUANTISED, *SHARDS], "m-BF16-00001-of-00003.gguf", SHARDS),
        ([SHARDS[2], SHARDS[0], SHARDS[1]], "", SHARDS),
        (SHARDS, "bf16", SHARDS),
        (SHARDS, "m-BF16", SHARDS),
        (DYNAMIC, "Q4_K_XL", ["m-Q4_K_XL.gguf"]),
        (DYNAMIC, "UD-Q4_K_XL", ["m-UD-Q4_K_XL.gguf"]),
        (DYNAMIC, "ud-q2_k", ["UD-Q2_K/m.gguf"]),
        (["m-UD-Q4_K_XL.gguf"], "Q4_K_XL", ["m-UD-Q4_K_XL.gguf"]),
        (["small-Q8_0.gguf", "large-Q8_0.gguf"], "large", ["large-Q8_0.gguf"]),
        (["old/m-Q8_0.gguf", "m-Q8_0.gguf"], "Q8_0", ["m-Q8_0.gguf"]),
        (["m_Q4_K_M.gguf", "m_Q8_0.gguf"], "q8_0", ["m_Q8_0.gguf"]),
        (["mmproj-F16.gguf", "m-F16.gguf"], "F16", ["m-F16.gguf"]),
        (["imatrix.gguf", "m-Q8_0.gguf"], "", ["m-Q8_0.gguf"]),
        (["m-imatrix-Q8_0.gguf"], "", ["m-imatrix-Q8_0.gguf"]),
        (["../m-Q4_K_M.gguf", "/m-Q4_K_M.gguf", "a/../m-Q4_K_M.gguf", "m-Q8_0.gguf"], "", ["m-Q8_0.gguf"]),
        (["m-99999-of-99999.gguf", "m-00002-of-00001.gguf", "m-00000-of-00002.gguf", "z.gguf"], "", ["z.gguf"]),
    ],
)
def test_a_label_chooses_one_model(paths: list[str], label: str, expected: list[str]) -> None:
    assert chosen(paths, label) == expected
    assert chosen(paths[::-1], label) == expected


@pytest.mark.parametrize(
    ("paths", "label", "reason"),
    [
        ([], "", "the repository has no GGUF model"),
        (["model.safetensors", "mmproj-F16.gguf"], "", "the repository has no GGUF model"),
        (QUANTISED, "Q4_K", 'the repository has no model "Q4_K"; it has: BF16, IQ4_XS, Q4_K_M, Q4_K_S, Q8_0'),
        (QUANTISED, "4_K_M", 'the repository has no model "4_K_M"; it has: BF16, IQ4_XS, Q4_K_M, Q4_K_S, Q8_0'),
        (["m.gguf"], "Q8_0", 'the repository has no model "Q8_0"; it has: m'),
        (SHARDS[1:], "", "the repository has 2 of the 3 files of m-BF16/m-BF16"),
    ],
)
def test_what_cannot_be_chosen_is_explained(paths: list[str], label: str, reason: str) -> None:
    with pytest.raises(HubRefusal) as caught:
        choose(files(*paths), label)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("projectors", "weights", "expected"),
    [
        ([], "m-Q4_K_M.gguf", None),
        (["mmproj-BF16.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"], "m-Q4_K_M.gguf", "mmproj-F16.gguf"),
        (["mmproj-F32.gguf", "mmproj-BF16.gguf"], "m-Q4_K_M.gguf", "mmproj-BF16.gguf"),
        (["mmproj-gemma-4b-f16.gguf", "mmproj-gemma-12b-f16.gguf"], "gemma-12b-Q8_0.gguf", "mmproj-gemma-12b-f16.gguf"),
        (["mmproj-gemma-4b-f16.gguf", "mmproj-gemma-12b-f16.gguf"], "gemma-4b-Q8_0.gguf", "mmproj-gemma-4b-f16.gguf"),
        (["gemma-12b-mmproj-bf16.gguf", "mmproj-4b-f16.gguf"], "gemma-12b-Q8_0.gguf", "gemma-12b-mmproj-bf16.gguf"),
        (["b/mmproj-F16.gguf", "a/mmproj-F32.gguf"], "a/m-Q8_0.gguf", "a/mmproj-F32.gguf"),
        (["b/mmproj-F16.gguf", "mmproj-F32.gguf"], "a/q/m-Q8_0.gguf", "mmproj-F32.gguf"),
        (["projectors/mmproj-F16.gguf"], "m-Q8_0.gguf", "projectors/mmproj-F16.gguf"),
    ],
)
def test_the_projector_that_belongs_to_a_model(projectors: list[str], weights: str, expected: str | None) -> None:
    for order in (projectors, projectors[::-1]):
        found = choose_projector(files(*order), weights)
        assert (found.path if found else None) == expected


def test_texts_count_at_the_root_alone() -> None:
    selection = choose(files("m.gguf", "template", "params", "x/system", "system.txt"), "")
    assert sorted(selection.texts) == ["params", "template"]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("Llama-3.2-3B-Instruct-Q4_K_M.gguf", "q4_k_m"),
        ("m.i1-IQ3_XXS.gguf", "iq3_xxs"),
        ("model-q4_0.gguf", "q4_0"),
        ("m-TQ1_0.gguf", "tq1_0"),
        ("gpt-oss-20b-mxfp4.gguf", "mxfp4"),
        ("m-fp16.gguf", "fp16"),
        ("Q5_K_M/m-00001-of-00002.gguf", "q5_k_m"),
        ("Q5_K_M/m-Q4_0.gguf", "q4_0"),
        ("Q4-and-more.gguf", "q4"),
        ("quick.gguf", ""),
    ],
)
def test_the_quantisation_in_a_name(path: str, label: str) -> None:
    assert label_of(path) == label


@pytest.mark.parametrize("path", ["a", "a/b.gguf", "a b", "…/ü"])
def test_clean_paths(path: str) -> None:
    assert is_clean_path(path)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\\b", "a\0", "a\n"])
def test_paths_that_lead_elsewhere(path: str) -> None:
    assert not is_clean_path(path)
