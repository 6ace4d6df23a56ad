"""Options: types as Ollama checks them, layers, limits."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from models.errors import OptionTypeError
from models.option_types import SAMPLERS
from models.options import (
    NAMES,
    ModelLimits,
    RunnerDefaults,
    can_serve,
    merge,
    parse_options,
    predict_limit,
    runner_config,
    sampling_of,
)
from models.runner.settings import RunnerConfig, Sampling


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("num_ctx", "big", 'option "num_ctx" must be of type integer'),
        ("seed", True, 'option "seed" must be of type integer'),
        ("seed", float("nan"), 'option "seed" must be of type integer'),
        ("temperature", "hot", 'option "temperature" must be of type float32'),
        ("top_p", [], 'option "top_p" must be of type float32'),
        ("use_mmap", "yes", 'option "use_mmap" must be of type boolean'),
        ("stop", 3, 'option "stop" must be of type array'),
        ("stop", ["a", 3], 'option "stop" must be of an array of strings'),
    ],
)
def test_a_wrong_type_is_refused_in_these_words(name: str, value: Any, text: str) -> None:
    with pytest.raises(OptionTypeError) as raised:
        parse_options({name: value})
    assert str(raised.value) == text


def test_integers_are_cut_and_floats_are_single_precision() -> None:
    options = parse_options({"num_predict": 2.9, "top_k": -1.7, "temperature": 0.1, "top_p": 1})
    assert (options.num_predict, options.top_k, options.top_p) == (2, -1, 1.0)
    assert options.temperature == 0.10000000149011612


@pytest.mark.parametrize("name", ["num_ctx", "num_keep", "num_predict", "seed", "top_k"])
@pytest.mark.parametrize("value", [10**30, 1e300])
def test_integers_that_64_bits_cannot_hold_become_the_nearest_that_they_can(name: str, value: float) -> None:
    assert getattr(parse_options({name: value}), name) == 2**63 - 1
    assert getattr(parse_options({name: -value}), name) == -(2**63)


def test_unknown_and_null_are_skipped() -> None:
    assert parse_options({"tfs_z": 2, "foo": "bar", "num_ctx": None}) == parse_options({})


def test_later_layers_win_and_lists_are_replaced() -> None:
    options = merge({"temperature": 0, "stop": ["a"], "top_k": 3}, {"stop": ["b"], "top_k": None})
    assert (options.temperature, options.stop, options.top_k) == (0.0, ("b",), 3)


def test_sampling_has_ollamas_defaults_and_a_random_seed_when_negative() -> None:
    assert sampling_of(parse_options({})) == Sampling()
    assert sampling_of(parse_options({"seed": -1})).seed is None
    assert sampling_of(parse_options({"seed": 2**32 + 5})).seed == 5


@pytest.mark.parametrize(("asked", "limit"), [(None, 640), (-1, 640), (-2, 640), (0, 640), (7, 7), (10_000, 640)])
def test_a_reply_has_ten_contexts_at_most(asked: int | None, limit: int | None) -> None:
    assert predict_limit(asked, 64) == limit


def test_without_a_context_a_limit_stays_as_it_is() -> None:
    assert [predict_limit(asked, 0) for asked in (-1, 0, 7)] == [-1, None, 7]


def config(limits: ModelLimits, *, n_parallel: int = 1, **options: Any) -> RunnerConfig:
    defaults = RunnerDefaults(n_ctx=4096, n_parallel=n_parallel)
    return runner_config(parse_options(options), limits, defaults, model_path="m", shift=True)


@pytest.mark.parametrize(
    ("limits", "asked", "n_ctx"),
    [
        (ModelLimits(8192), {}, 4096),
        (ModelLimits(2048), {}, 2048),
        (ModelLimits(8192), {"num_ctx": 100_000}, 8192),
        (ModelLimits(8192), {"num_ctx": 1}, 4),
        (ModelLimits(8192, has_vision=True), {"num_ctx": 1}, 2048),
        (ModelLimits(0), {"num_ctx": 2**40}, 2**31 - 1),
    ],
)
def test_context_bounds(limits: ModelLimits, asked: dict[str, int], n_ctx: int) -> None:
    assert config(limits, **asked).n_ctx == n_ctx


def test_models_that_run_alone_have_one_slot() -> None:
    assert config(ModelLimits(8192), n_parallel=4).n_parallel == 4
    assert config(ModelLimits(8192, runs_alone=True), n_parallel=4).n_parallel == 1
    assert config(ModelLimits(512, is_embedding=True), n_parallel=4).n_parallel == 1


def test_an_automatic_number_of_gpu_layers_never_differs() -> None:
    loaded = config(ModelLimits(8192), num_gpu=5)
    assert can_serve(loaded, config(ModelLimits(8192)))
    assert not can_serve(loaded, config(ModelLimits(8192), num_gpu=6))
    assert not can_serve(loaded, config(ModelLimits(8192), num_thread=1))
    assert can_serve(loaded, msgspec.structs.replace(loaded, adapters=("lora",)))
    assert not can_serve(loaded, msgspec.structs.replace(loaded, projectors=("eye",)))


@pytest.mark.parametrize(
    ("said", "pairs"),
    [
        ([[15043, 1.5], ["Hello", -2]], ((15043, 1.5), ("Hello", -2.0))),
        ([[7, False]], ((7, -math.inf),)),
        ({"15043": -100, "Hello": 1, "-3": 2}, ((15043, -100.0), ("Hello", 1.0), (-3, 2.0))),
        (["15043-1.5", "7+2"], ((15043, -1.5), (7, 2.0))),
        ([], ()),
        ({}, ()),
    ],
)
def test_biases_come_in_several_forms(said: Any, pairs: tuple[tuple[int | str, float], ...]) -> None:
    assert sampling_of(parse_options({"logit_bias": said})).logit_bias == pairs


@pytest.mark.parametrize(
    "said", ["x", 3, [[1]], [[1, True]], [[1.5, 1]], [[True, 1]], ["Hello"], [["a", "b"]], {"1": None}]
)
def test_other_forms_of_biases_are_refused(said: Any) -> None:
    with pytest.raises(OptionTypeError, match=r'option "logit_bias" must be of '):
        parse_options({"logit_bias": said})


def test_scales_of_adapters_come_as_objects_or_as_texts() -> None:
    said = [{"id": 0, "scale": 0.5}, {"id": 2, "scale": -1, "more": True}, "1=0.25", "3=-2"]
    assert parse_options({"lora": said}).lora == ((0, 0.5), (2, -1.0), (1, 0.25), (3, -2.0))
    assert parse_options({"lora": []}).lora == ()


@pytest.mark.parametrize(
    "said",
    [
        "0=1", {"id": 0, "scale": 1}, [{"id": 0}], [{"scale": 1}], [{"id": "0", "scale": 1}], [{"id": 0, "scale": "1"}],
        [{"id": True, "scale": 1}], [{"id": 0, "scale": 1e99}], [0.5], ["0"], ["-1=2"], [None],
    ],
)  # fmt: skip
def test_other_forms_of_scales_are_refused(said: Any) -> None:
    with pytest.raises(OptionTypeError, match=r'option "lora" must be of '):
        parse_options({"lora": said})


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (["top_k", "temperature"], ("top_k", "temperature")),
        (
            ["Top-K", "minp", "nucleus", "temp", "typical_p", "infill"],
            ("top_k", "min_p", "top_p", "temperature", "typ_p"),
        ),
        ("kpt", ("top_k", "top_p", "temperature")),
        ("edskypmxt", SAMPLERS),
        ("mta", ("min_p", "temperature", "adaptive_p")),
        (["adaptive-p", "Adaptivep"], ("adaptive_p", "adaptive_p")),
        ("top_k;dry; xtc", ("top_k", "dry", "xtc")),
        (["min_p;temperature"], ("min_p", "temperature")),
        ("top_k", ("top_k",)),
        ("", ()),
        ([], ()),
    ],
)
def test_the_order_of_samplers_comes_in_several_forms(said: Any, names: tuple[str, ...]) -> None:
    assert sampling_of(parse_options({"samplers": said})).samplers == names


def test_the_further_samplers_are_options_and_parameters() -> None:
    further = {
        "mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.5, "dry_multiplier": 0.5, "dry_base": 2.0,
        "dry_allowed_length": 3, "dry_penalty_last_n": 10, "dry_sequence_breakers": ("x",), "xtc_probability": 0.5,
        "xtc_threshold": 0.25, "top_n_sigma": 1.5, "dynatemp_range": 0.5, "dynatemp_exponent": 2.0,
        "min_keep": 3, "adaptive_target": 0.5, "adaptive_decay": 0.75, "ignore_eos": True,
    }  # fmt: skip
    sampling = sampling_of(parse_options(further))
    assert {name: getattr(sampling, name) for name in further} == further
    assert further.keys() | {"logit_bias", "samplers"} <= NAMES
