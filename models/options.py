"""Request options: what a client may ask for, what the model and the server add, what the engine gets.

Asked and resolved are two types. `Options` holds what was said (None: not said); `merge` lets a request override the
model's parameters; `sampling_of` and `runner_config` leave no holes. Names here are those of the wire (http-api 5).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from models import option_types
from models.option_types import LogitBias, LoraScales, SamplerNames
from models.runner.settings import BackendSampling, KvType, RunnerConfig, Sampling

logger = logging.getLogger(__name__)

MIN_N_CTX = 4
MIN_N_CTX_VISION = 2048
MAX_N_BATCH = 2048
DEFAULT_N_BATCH = 512
MAX_INT = 2**31 - 1

RETIRED = frozenset(
    {"penalize_newline", "tfs_z", "numa", "low_vram", "f16_kv", "vocab_only", "logits_all", "use_mlock"}
)
"""Options of earlier versions, ignored without a word."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was said; None is "not said". The annotation of a field is its type on the wire."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None
    num_keep: int | None = None
    seed: int | None = None
    num_predict: int | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_last_n: int | None = None
    temperature: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    # Those that llama-server has besides
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    top_n_sigma: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    logit_bias: LogitBias | None = None
    samplers: SamplerNames | None = None
    min_keep: int | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    ignore_eos: bool | None = None
    lora: LoraScales | None = None


def parse_options(raw: Mapping[str, Any]) -> Options:
    """Check the types of an `options` object. Unknown keys are ignored with a log line, null values skipped.

    Raises: OptionTypeError, with Ollama's text.
    """
    said: dict[str, Any] = {}
    for name, value in raw.items():
        parse = _PARSERS.get(name)
        if parse is None:
            if name not in RETIRED:
                logger.warning("invalid option provided: option=%s", name)
        elif value is not None:
            said[name] = parse(name, value)
    return Options(**said)


def merge(*layers: Mapping[str, Any]) -> Options:
    """Later layers win, key by key; a list replaces a list. Raises: OptionTypeError."""
    together: dict[str, Any] = {}
    for layer in layers:
        together |= {name: value for name, value in layer.items() if value is not None}
    return parse_options(together)


_BY_TYPE = {
    "int | None": option_types.integer,
    "float | None": option_types.float32,
    "bool | None": option_types.boolean,
    "tuple[str, ...] | None": option_types.strings,
    "LogitBias | None": option_types.logit_bias,
    "SamplerNames | None": option_types.sampler_names,
    "LoraScales | None": option_types.lora_scales,
}
_PARSERS = {f.name: _BY_TYPE[str(f.type)] for f in fields(Options)}
NAMES = frozenset(_PARSERS)
INTEGERS = frozenset(name for name, parse in _PARSERS.items() if parse is option_types.integer)
FLOATS = frozenset(name for name, parse in _PARSERS.items() if parse is option_types.float32)
BOOLEANS = frozenset(name for name, parse in _PARSERS.items() if parse is option_types.boolean)


# --------------------------------------------------------------------------------------------------------------------
# Resolved


def sampling_of(options: Options) -> Sampling:
    """The sampler's settings, Ollama's defaults filled in. A negative seed means a new one each time."""
    said = {n: getattr(options, n) for n in Sampling.__struct_fields__ if getattr(options, n) is not None}
    if "seed" in said:
        said["seed"] = None if said["seed"] < 0 else said["seed"] & 0xFFFFFFFF
    return msgspec.structs.replace(Sampling(), **said)


def predict_limit(num_predict: int | None, n_ctx: int) -> int | None:
    """How many tokens a reply may have, None for no limit but the context's.

    # Compat: prompting 9.4: ten contexts at most, and that is what negative values mean. The original leaves 0 to its
    # engine, where a context that shifts lets a reply go on forever; here it means the same as a negative value.
    # Without a context there is nothing to count in.
    """
    asked = -1 if num_predict is None else num_predict
    if n_ctx <= 0:
        return asked or None
    limit = 10 * n_ctx
    return limit if asked <= 0 or asked > limit else asked


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What of a model bounds its runner's configuration."""

    n_ctx_train: int
    is_embedding: bool = False
    has_vision: bool = False
    runs_alone: bool = False
    """One sequence at a time (http-api 7.4)."""

    @property
    def has_several_sequences(self) -> bool:
        """Whether the model may compute several requests at once, each with a sequence of its own."""
        return not self.runs_alone and not self.is_embedding


@dataclass(frozen=True, slots=True)
class RunnerDefaults:
    """What the server adds to a request: its settings, and what it knows of the machine."""

    n_ctx: int = 4096
    n_parallel: int = 1
    flash_attention: bool | None = None
    kv_type: KvType = KvType.F16
    prompt_cache_bytes: int = 0
    use_mlock: bool = False
    backend_sampling: BackendSampling = BackendSampling.AUTO


def runner_config(
    options: Options, limits: ModelLimits, defaults: RunnerDefaults, *, model_path: str, shift: bool,
    projectors: tuple[str, ...] = (), adapters: tuple[str, ...] = (),
) -> RunnerConfig:  # fmt: skip
    """How the model must be loaded for these options.

    # Compat: http-api 5 and 7.3: the context is at least 4 (2048 with vision) and at most the training context.
    """
    n_ctx = max(options.num_ctx if options.num_ctx is not None else defaults.n_ctx, MIN_N_CTX)
    if limits.has_vision:
        n_ctx = max(n_ctx, MIN_N_CTX_VISION)
    if limits.n_ctx_train:
        n_ctx = min(n_ctx, limits.n_ctx_train)
    return RunnerConfig(
        model_path=model_path,
        n_ctx=min(n_ctx, MAX_INT),
        n_parallel=max(defaults.n_parallel, 1) if limits.has_several_sequences else 1,
        n_batch=_batch_size(options.num_batch, n_ctx, is_embedding=limits.is_embedding),
        n_gpu_layers=max(-1, min(options.num_gpu if options.num_gpu is not None else -1, MAX_INT)),
        n_threads=max(0, min(options.num_thread or 0, 1024)),
        main_gpu=options.main_gpu if options.main_gpu is not None and 0 <= options.main_gpu < 256 else None,
        use_mmap=options.use_mmap is not False,
        shift=shift,
        flash_attention=defaults.flash_attention,
        kv_type=defaults.kv_type,
        projectors=projectors,
        adapters=adapters,
        prompt_cache_bytes=defaults.prompt_cache_bytes,
        use_mlock=defaults.use_mlock,
        backend_sampling=defaults.backend_sampling,
    )


def _batch_size(asked: int | None, n_ctx: int, *, is_embedding: bool) -> int:
    if asked is not None and asked > 0:
        return min(asked, MAX_N_BATCH * 4)
    return min(MAX_N_BATCH, n_ctx) if is_embedding else DEFAULT_N_BATCH


def can_serve(loaded: RunnerConfig, wanted: RunnerConfig) -> bool:
    """Whether a runner loaded one way serves a request that would load it another way.

    # Compat: http-api 7.3: an automatic number of GPU layers never differs. Adapters do not count, unlike there:
    a runner takes them in while it runs.
    """
    if wanted.n_gpu_layers < 0:
        wanted = msgspec.structs.replace(wanted, n_gpu_layers=loaded.n_gpu_layers)
    return loaded == msgspec.structs.replace(wanted, adapters=loaded.adapters)
