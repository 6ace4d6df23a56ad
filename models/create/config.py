"""The config blob of a new model: what its weights say, what it inherits, what the request overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from models.create.layers import NewLayer
from models.create.request import CreateRequest
from models.errors import BadInfoField
from models.gguf.names import human_number, quantization_level
from models.gguf.values import GGUF
from registry.manifest import MediaType, ModelConfig

PRESETS: Final = {
    "gemma4": "gemma4",
    "laguna": "laguna",
    "nemotron_h": "nemotron-3-nano",
    "nemotron_h_moe": "nemotron-3-nano",
    "nemotron_h_omni": "nemotron-3-nano",
}
"""Architecture → the renderer and parser that a model gets when it names none (registry-store-cli 6.5)."""

PRESET_STOPS: Final = {"gemma4": ("<turn|>",)}

MAX_LENGTH: Final = 2**63 - 1


def apply_info(config: ModelConfig, info: Mapping[str, Any]) -> ModelConfig:
    """The config with the request's `info`. Raises: BadInfoField."""
    capabilities = info.get("capabilities")
    extra = [c for c in capabilities if isinstance(c, str)] if isinstance(capabilities, list) else []
    family = _text(info, "model_family")
    return replace(
        config,
        capabilities=(*config.capabilities, *extra),
        model_family=family,
        model_families=(family,) if family else (),
        base_name=_text(info, "base_name"),
        file_type=_text(info, "quantization_level"),
        model_type=_text(info, "parameter_size"),
        context_length=_length(info, "context_length"),
        embedding_length=_length(info, "embedding_length"),
    )


def _text(info: Mapping[str, Any], key: str) -> str:
    value = info.get(key, "")
    if not isinstance(value, str):
        raise BadInfoField(key, "a string")
    return value


def _length(info: Mapping[str, Any], key: str) -> int:
    value = info.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInfoField(key, "a number")
    if not 0 <= value <= MAX_LENGTH or value != int(value):
        raise BadInfoField(key, "a non-negative integer")
    return int(value)


def apply_weights(config: ModelConfig, layers: Iterable[NewLayer]) -> ModelConfig:
    """The config with what the model layers say, where nothing else did.

    # Compat: registry-store-cli 6.5: families get one entry per model layer.
    """
    for layer in layers:
        if layer.gguf is not None and layer.kind == MediaType.MODEL:
            config = _described_by(config, layer.gguf)
    return config


def _described_by(config: ModelConfig, gguf: GGUF) -> ModelConfig:
    preset = PRESETS.get(gguf.architecture, "")
    return replace(
        config,
        model_format=config.model_format or "gguf",
        model_family=config.model_family or gguf.architecture,
        model_type=config.model_type or human_number(gguf.parameter_count),
        file_type=config.file_type or quantization_level(gguf.uint32("general.file_type")),
        model_families=(*config.model_families, gguf.architecture),
        renderer=config.renderer or preset,
        parser=config.parser or preset,
    )


def preset_parameters(config: ModelConfig, layers: Iterable[NewLayer], request: CreateRequest) -> dict[str, Any]:
    """The request's parameters, and the stop strings of an architecture whose renderer or parser is chosen for it."""
    found = dict(request.parameters)
    architectures = [x.gguf.architecture for x in layers if x.gguf is not None and x.kind == MediaType.MODEL]
    stops = next((PRESET_STOPS[a] for a in architectures if a in PRESET_STOPS), None)
    if stops and not (config.renderer and config.parser):
        found.setdefault("stop", list(stops))
    return found
