"""Everything `/api/show` tells of a model, as plain data in the order of its reply."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from models.capabilities import DEFAULT_TEMPLATE, SAFETENSORS
from models.gguf.names import quantization_level, tensor_type_name
from models.gguf.reader import read_gguf
from models.gguf.values import GGUF, ArrayInfo, TensorInfo, Value, ValueType
from models.layer_text import as_floats
from models.library import Library, ModelDetails, ModelSpec, details_of, translated
from models.modelfile import Command, format_modelfile
from registry.gojson import Float32, encode_time, format_value, quote

HIDDEN_KEYS: Final = frozenset(("general.name", "tokenizer.chat_template"))
"""Metadata that `model_info` leaves out."""


def show_model(
    library: Library,
    spec: ModelSpec,
    *,
    verbose: bool = False,
    system: str = "",
    options: Mapping[str, Any] | None = None,
    basename: str = "",
) -> dict[str, Any]:
    """The reply, empty members left out.

    `verbose` fills in the arrays. `system` and `options` stand in for the model's own; `options` are seen in the
    modelfile only. `basename`, if given, replaces `general.basename`.
    Raises: BlobMissing, InvalidGGUF.
    # Compat: registry-store-cli 10.2, http-api 6.3.
    """
    system = system or spec.system
    weights = read_blob(library, spec.weights, verbose=verbose) if spec.weights else None
    projector = read_blob(library, spec.projectors[0], verbose=verbose) if spec.projectors else None
    info = model_info(weights, verbose=verbose) if weights else remote_info(spec)
    if basename:
        info = dict(sorted({**info, "general.basename": basename}.items()))
    found: dict[str, Any] = {
        "license": "\n".join(spec.licenses),
        "modelfile": modelfile_of(spec, system=system, options=options or {}),
        "parameters": parameter_lines(spec.parameters),
        "template": _shown_template(spec),
        "system": system,
        "details": details_fields(details_of(spec.config, spec.parent_model, quantization_level(spec.facts.file_type))),
        "messages": [{"role": m.get("role", ""), "content": m.get("content", "")} for m in spec.messages],
        "remote_model": spec.config.remote_model,
        "remote_host": spec.config.remote_host,
        "model_info": info,
        "projector_info": metadata_fields(projector, verbose=verbose) if projector else {},
        "tensors": [_tensor_fields(tensor) for tensor in weights.tensors or ()] if weights else [],
        "capabilities": list(spec.capabilities),
        "modified_at": encode_time(spec.modified_ns, utc=False),
        "requires": spec.config.requires,
    }
    return {key: value for key, value in found.items() if value or key == "model_info"}


def read_blob(library: Library, path: Path, *, verbose: bool) -> GGUF:
    """A file of the store, its arrays with their elements if `verbose`. Raises: BlobMissing, InvalidGGUF."""
    if not verbose:
        return library.head(path)
    with translated(path):
        return read_gguf(path, arrays=True)


def _shown_template(spec: ModelSpec) -> str:
    if spec.prompt_source.is_native and spec.chat_template:
        return spec.chat_template
    return DEFAULT_TEMPLATE if spec.template is None else spec.template


# --------------------------------------------------------------------------------------------------------------------
# Metadata


def model_info(gguf: GGUF, *, verbose: bool) -> dict[str, Any]:
    """The metadata of the weights, without what is told elsewhere."""
    return {key: value for key, value in metadata_fields(gguf, verbose=verbose).items() if key not in HIDDEN_KEYS}


def metadata_fields(gguf: GGUF, *, verbose: bool) -> dict[str, Any]:
    """All metadata, sorted, with the parameters as they were counted.

    # Compat: registry-store-cli 10.2: arrays are null unless `verbose`, but for empty ones.
    """
    fields = {key: _field(value, gguf.types[key], verbose=verbose) for key, value in gguf.metadata.items()}
    return dict(sorted({**fields, "general.parameter_count": gguf.parameter_count}.items()))


def _field(value: Value, value_type: ValueType, *, verbose: bool) -> Any:
    match value:
        case ArrayInfo(count=0):
            return []
        case ArrayInfo(values=values, type=element):
            return _elements(values, element) if verbose and values is not None else None
        case float() if value_type is ValueType.FLOAT32:
            return Float32(value)
        case _:
            return value


def _elements(values: tuple[Any, ...], element: ValueType) -> Any:
    if element is ValueType.UINT8:
        return bytes(values)  # written as base64, as Go does
    return array("f", values) if element is ValueType.FLOAT32 else values


def remote_info(spec: ModelSpec) -> dict[str, Any]:
    """What the config of a remote model's stub says in place of weights."""
    config, family = spec.config, spec.config.model_family
    if not config.remote_host or not family:
        return {}
    known = {
        "general.architecture": family,
        "general.basename": config.base_name,
        f"{family}.context_length": config.context_length,
        f"{family}.embedding_length": config.embedding_length,
    }
    return {key: value for key, value in known.items() if value}


def details_fields(details: ModelDetails) -> dict[str, Any]:
    """The `details` object of a reply; only the list of models tells lengths."""
    always = {
        "parent_model": details.parent_model,
        "format": details.format,
        "family": details.family,
        "families": details.families or None,
        "parameter_size": details.parameter_size,
        "quantization_level": details.quantization_level,
    }
    lengths = {"context_length": details.context_length, "embedding_length": details.embedding_length}
    return always | {key: value for key, value in lengths.items() if value}


def _tensor_fields(tensor: TensorInfo) -> dict[str, Any]:
    return {"name": tensor.name, "type": tensor_type_name(tensor.type), "shape": tensor.shape}


# --------------------------------------------------------------------------------------------------------------------
# Texts


def modelfile_of(spec: ModelSpec, *, system: str, options: Mapping[str, Any]) -> str:
    """The Modelfile that would make this model again.

    # Compat: registry-store-cli 6.9; the order of parameters is random there, sorted here.
    """
    if spec.config.model_format == SAFETENSORS:
        return f'# Modelfile generated by "ollama show"\n{format_modelfile([Command("from", spec.name.display)])}'
    return (
        '# Modelfile generated by "ollama show"\n'
        "# To build a new Modelfile based on this, replace FROM with:\n"
        f"# FROM {spec.name.display}\n\n"
    ) + format_modelfile(_commands(spec, system, {**spec.parameters, **options}))


def _commands(spec: ModelSpec, system: str, parameters: Mapping[str, Any]) -> Iterator[Command]:
    yield Command("from", str(spec.weights) if spec.weights else "")
    yield from (Command("adapter", str(path)) for path in spec.adapters)
    yield from (Command("draft", str(path)) for path in (spec.draft,) if path)
    yield from (Command("from", str(path)) for path in spec.projectors)
    yield Command("template", DEFAULT_TEMPLATE if spec.template is None else spec.template)
    texts = {"system": system, "renderer": spec.config.renderer, "parser": spec.config.parser}
    yield from (Command(name, text) for name, text in texts.items() if text)
    yield from (Command("parameter", format_value(value), key) for key, value in _each(parameters))
    yield from (Command("license", text) for text in spec.licenses)
    yield from (Command("message", m.get("content", ""), m.get("role", "")) for m in spec.messages)


def parameter_lines(parameters: Mapping[str, Any]) -> str:
    """One line per value: the name in 30 columns, a space, the value as Go source."""
    return "\n".join(f"{key:<30} {go_syntax(value)}" for key, value in _each(parameters))


def _each(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Parameters by name, lists element by element, numbers as the floats that Go reads."""
    for key in sorted(parameters):
        value = as_floats(parameters[key])
        yield from ((key, item) for item in (value if isinstance(value, list) else (value,)))


def go_syntax(value: Any) -> str:
    """Go's `%#v` text of a decoded JSON value."""
    match value:
        case str():
            return quote(value)
        case Mapping():
            members = (f"{quote(key)}:{_inner(value[key])}" for key in sorted(value))
            return f"map[string]interface {{}}{{{_comma_separated(members)}}}"
        case list():
            return f"[]interface {{}}{{{_comma_separated(map(_inner, value))}}}"
        case _:
            return format_value(value)


def _inner(value: Any) -> str:
    return "interface {}(nil)" if value is None else go_syntax(value)


def _comma_separated(parts: Iterable[str]) -> str:
    return ", ".join(parts)
