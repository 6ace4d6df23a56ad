"""What converting a model takes, whatever its architecture: parameters, vocabulary, tensors by name.

An architecture is a class: what differs from this one is overridden. The rules are those of upstream's converter
(conversion/base.py and its neighbours in llama.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final

from gguf import MODEL_TENSOR as T

from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.defaults import with_defaults
from models.create.convert.eight_bits import dequantized
from models.create.convert.experts import collect_experts
from models.create.convert.keys import Keys
from models.create.convert.naming import NamedTensor, TensorNames
from models.create.convert.numbers import F32, MXFP4, Kind
from models.create.convert.tensors import Tensor
from models.create.convert.vocabulary import sentencepiece
from models.create.convert.vocabulary.sentencepiece import sentencepiece_vocabulary
from models.create.convert.vocabulary.special_tokens import read_special_tokens
from models.create.convert.vocabulary.tokenizer_json import byte_pair_vocabulary
from models.errors import CreateFailed

NOT_WEIGHTS: Final = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq", ".position_ids")
"""Endings of tensors that models carry along and nobody reads."""

OTHER_TOWERS: Final = re.compile(
    r"^(mlp|vit\.|vpm\.|siglip2\.|conformer\.|merger\.|resampler\.|sound_encoder\.|sound_projection\.|speech_embeddings\.)"
    r"|visual\.|vision\.|audio\.|talker\.|vision_|audio_|token2wav\.|code2wav\.|projector\.|pre_mm_projector_norm"
    r"|image_newline|view_seperator|patch_embed|patch_merger\.|patch_merge_mlp\.|model\.connector\."
)
"""Tensors of what sees, hears or speaks: they belong into a projector's file."""

ALWAYS_F32: Final = frozenset(
    {
        T.FFN_GATE_INP, T.FFN_GATE_INP_SHEXP, T.POS_EMBD, T.TOKEN_TYPES, T.SSM_CONV1D, T.SHORTCONV_CONV,
        T.ALTUP_CORRECT_COEF, T.ALTUP_PREDICT_COEF, T.V_ENC_EMBD_POS, T.A_ENC_EMBD_POS,
    }
)  # fmt: skip
"""Tensors that llama.cpp computes with in float32 only."""

NORMAL_ENDS: Final = (".weight", ".lora_a", ".lora_b")

N_CTX: Final = (
    "max_position_embeddings",
    "n_ctx",
    "n_positions",
    "max_length",
    "max_sequence_length",
    "model_max_length",
)
N_FF: Final = (
    "prefix_dense_intermediate_size",
    "dense_intermediate_size",
    "intermediate_size",
    "n_inner",
    "hidden_dim",
)
N_HEAD: Final = ("num_attention_heads", "n_head", "n_heads")
N_HEAD_KV: Final = ("num_key_value_heads", "n_kv_heads")
N_EXPERT: Final = ("num_local_experts", "num_experts", "n_routed_experts")
N_EXPERT_USED: Final = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts")
SCORING: Final = (
    "score_function", "scoring_func", "score_func", "moe_router_activation", "moe_router_activation_func",
    "expert_selection_fn",
)  # fmt: skip
THETA: Final = ("global_rope_theta", "rope_global_theta", "rope_theta_global", "rope_theta", "rotary_emb_base")
LOCAL_THETA: Final = (
    "local_rope_theta", "rope_local_theta", "rope_theta_local", "swa_rope_theta", "rope_local_base_freq",
)  # fmt: skip
ROTATED_PART: Final = ("partial_rotary_factor", "rope_pct", "rope_percent")
GATING: Final = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}
POOLING: Final = {"mean": 1, "cls": 2, "lasttoken": 3}

Tensors = Mapping[str, Tensor]
Named = tuple[str, Tensor]


class Architecture:
    """A model to convert. Raises, from any method: CreateFailed for what the files lack or contradict."""

    name: ClassVar[str]
    """`general.architecture`."""

    mapped_as: ClassVar[str] = ""
    """The architecture whose tables name the tensors, where `gguf` does not have this one yet."""

    extra_names: ClassVar[Mapping[str, str]] = {}
    """Names of tensors that the tables of `gguf` do not have yet, `{bid}` for the block."""

    is_encoder: ClassVar[bool] = False

    def __init__(self, files: Checkpoint, config: Config | None = None) -> None:
        """`config`: what `configured` would make of the files' configuration, where these have none."""
        self.files = files
        self.config = self.configured(files.config) if config is None else config
        self.rope = self._rope()

    # ---- what an architecture may change

    def configured(self, config: Config) -> Config:
        """The configuration with what is nested in it, and without holes."""
        return with_defaults(config.with_members(config.text_part.members))

    @cached_property
    def n_blocks(self) -> int:
        return self.config.size("n_layers", "num_hidden_layers", "n_layer", "num_layers")

    def renamed(self, name: str) -> str | None:
        """The name of a stored tensor as the other methods want it; None for one that is left out."""
        if OTHER_TOWERS.search(name):
            return None
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
        return name.replace("language_model.", "")

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        """What becomes of a tensor; names are those of the source, or already llama.cpp's."""
        yield name, tensor

    def extra_tensors(self) -> Iterator[Named]:
        """Tensors that no file has."""
        return iter(())

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        """The type that a matrix must have; None for the usual. `name` is that before `transformed`."""
        return None

    def add_parameters(self, keys: Keys) -> None:
        """The architecture's own keys."""
        self._add_sizes(keys)
        self._add_rope(keys)
        self._add_experts(keys)
        if (head := self.config.find_integer("head_dim")) is not None:
            keys.uint32("attention.key_length", head)
            keys.uint32("attention.value_length", head)

    def add_vocabulary(self, keys: Keys) -> None:
        """The tokenizer's keys."""
        self.add_byte_pairs(keys)

    # ---- tensors

    def tensors(self) -> Tensors:
        """All stored tensors by the names of `renamed`, whole: scales applied, experts put together."""
        found: dict[str, Tensor] = {}
        for name, stored in self.files.stored_tensors().items():
            if (new := self.renamed(name)) is not None:
                if new in found:
                    raise CreateFailed(f"duplicate tensor name '{new}' was found for this model")
                found[new] = Tensor.stored(stored)
        return collect_experts(dequantized(found, self.files.config), self.n_experts)

    @cached_property
    def n_experts(self) -> int:
        return self.config.find_integer(*N_EXPERT) or 0

    def converted(self) -> Iterator[tuple[NamedTensor, str, Tensor]]:
        """Every tensor of the file in the making, with the name it had before `transformed`."""
        names = self.tensor_names()
        for name, tensor in (*self.extra_tensors(), *self.tensors().items()):
            if not name.endswith(NOT_WEIGHTS):
                for new, changed in self.transformed(name, tensor, block_of(name)):
                    yield names.named(new), name, changed

    def tensor_names(self) -> TensorNames:
        """What tensors are called in the file."""
        return TensorNames(self.mapped_as or self.name, self.n_blocks, self.extra_names)

    def kind_of(self, name: str, named: NamedTensor, tensor: Tensor, main: Kind) -> Kind:
        """The type of a tensor in the file, where `main` is that of most. `name` is that before `transformed`."""
        if tensor.kind == MXFP4:
            return MXFP4
        if tensor.n_dims <= 1 or named.name.endswith("_norm.weight"):
            return F32
        if (forced := self.precision(name, named, main)) is not None:
            return forced
        is_computed_with = named.kind in ALWAYS_F32 or not named.name.endswith(NORMAL_ENDS)
        return F32 if is_computed_with else main

    # ---- parameters

    def _add_sizes(self, keys: Keys) -> None:
        config = self.config
        keys.uint32("block_count", self.n_blocks)
        for key, names in (
            ("context_length", N_CTX),
            ("embedding_length", ("hidden_size", "n_embd", "dim")),
            ("feed_forward_length", N_FF),
            ("attention.head_count", N_HEAD),
            ("attention.head_count_kv", N_HEAD_KV),
        ):
            self._add_size(keys, key, names)
        if config.find_flag("is_causal") is False:
            keys.flag("attention.causal", False)
        if (eps := config.find_number("rms_norm_eps", "norm_eps")) is not None:
            keys.float32("attention.layer_norm_rms_epsilon", eps)
        if (eps := config.find_number("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")) is not None:
            keys.float32("attention.layer_norm_epsilon", eps)

    def _add_size(self, keys: Keys, key: str, names: tuple[str, ...]) -> None:
        """A size, or a list of one for each layer."""
        if isinstance(next((self.config.members[n] for n in names if self.config.has(n)), None), list):
            keys.array(key, self.config.integers(*names))
        elif (value := self.config.find_integer(*names)) is not None:
            keys.uint32(key, value)

    def _add_experts(self, keys: Keys) -> None:
        config = self.config
        for key, names in (
            ("expert_count", N_EXPERT),
            ("expert_used_count", N_EXPERT_USED),
            ("expert_group_count", ("n_group",)),
            ("expert_group_used_count", ("topk_group",)),
        ):
            if (value := config.find_integer(*names)) is not None:
                keys.uint32(key, value)
        if (scoring := config.find_text(*SCORING)) is not None:
            if scoring not in GATING:
                raise CreateFailed(f"Unsupported expert score gating function value: {scoring}")
            keys.uint32("expert_gating_func", GATING[scoring])

    # ---- rope

    def _rope(self) -> Config:
        """How positions are encoded: one set of parameters, or one for each kind of attention."""
        config = self.config
        stored = config.object("rope_parameters") if config.has("rope_parameters") else config.object("rope_scaling")
        found = dict(stored.members)
        if "full_attention" in found or "sliding_attention" in found:
            return Config(found)
        if (local := config.find_number(*LOCAL_THETA)) is not None:
            found["sliding_attention"] = {"rope_theta": local}
        for key, value in (
            ("rope_theta", config.find_number(*THETA)),
            ("rope_type", found.get("type")),
            ("partial_rotary_factor", config.find_number(*ROTATED_PART)),
            ("original_max_position_embeddings", config.find_integer("original_max_position_embeddings")),
        ):
            if value is not None:
                found.setdefault(key, value)
        return Config(found)

    @property
    def full_rope(self) -> Config:
        """The parameters of layers that see everything."""
        return self.rope.object("full_attention") if self.rope.has("full_attention") else self.rope

    def _add_rope(self, keys: Keys) -> None:
        rope = self.full_rope
        factor = rope.find_number("factor")
        match rope.find_text("rope_type"):
            case "linear" if factor is not None:
                keys.text("rope.scaling.type", "linear")
                keys.float32("rope.scaling.factor", factor)
            case "yarn" if factor is not None:
                self._add_yarn(keys, rope, factor)
            case "su" | "longrope":
                keys.text("rope.scaling.type", "longrope")
        if sections := self.rope.integers("mrope_section"):
            keys.array("rope.dimension_sections", (sections + [0] * 4)[:4])
        if (theta := rope.find_number("rope_theta")) is not None:
            keys.float32("rope.freq_base", theta)
        if (theta := self.rope.object("sliding_attention").find_number("rope_theta")) is not None:
            keys.float32("rope.freq_base_swa", theta)

    def _add_yarn(self, keys: Keys, rope: Config, factor: float) -> None:
        keys.text("rope.scaling.type", "yarn")
        keys.float32("rope.scaling.factor", factor)
        keys.uint32("rope.scaling.original_context_length", rope.integer("original_max_position_embeddings"))
        for key, names in (
            ("ext_factor", ("extrapolation_factor",)),
            ("attn_factor", ("attention_factor", "attn_factor")),
            ("beta_fast", ("beta_fast",)),
            ("beta_slow", ("beta_slow",)),
        ):
            if (value := rope.find_number(*names)) is not None:
                keys.float32(f"rope.scaling.yarn_{key}", value)

    @property
    def head_size(self) -> int:
        """Dimensions of one head."""
        head = self.config.find_integer("head_dim")
        return head if head is not None else self.config.size("hidden_size") // self.config.size(*N_HEAD)

    # ---- vocabularies

    def add_byte_pairs(self, keys: Keys) -> None:
        """A tokenizer of byte pairs."""
        byte_pair_vocabulary(self.files, self.config).write(keys)
        read_special_tokens(self.files, merges=True).write(keys)

    def add_sentencepiece(self, keys: Keys) -> None:
        """A tokenizer of SentencePiece."""
        vocabulary = sentencepiece_vocabulary(self.files, self.config)
        vocabulary.write(keys)
        read_special_tokens(self.files, n_vocab=len(vocabulary.tokens)).write(keys)

    @property
    def has_sentencepiece(self) -> bool:
        return self.files.has(sentencepiece.FILE)

    # ---- pooling

    def add_pooling(self, keys: Keys) -> None:
        """How the vectors of tokens become one, where `modules.json` says so."""
        path = self._pooling_path()
        if path is not None:
            keys.uint32("pooling_type", _pooling_type(self.files.json(f"{path}/config.json") or {}))
        if (classifier := self.config.find_text("classifier_pooling")) is not None:
            if classifier not in ("cls", "mean"):
                raise CreateFailed(f"Unsupported classifier_pooling: {classifier}")
            keys.uint32("classifier.pooling_type", POOLING[classifier])

    def _pooling_path(self) -> str | None:
        modules = self.files.any_json("modules.json")
        for module in modules if isinstance(modules, list) else ():
            if isinstance(module, dict) and str(module.get("type")).endswith("Pooling"):
                return str(module.get("path"))
        return None


def _pooling_type(pooling: Mapping[str, Any]) -> int:
    for key, kind in (("mean_tokens", "mean"), ("cls_token", "cls"), ("lasttoken", "lasttoken")):
        if pooling.get(f"pooling_mode_{key}"):
            return POOLING[kind]
    if pooling.get("pooling_mode") in POOLING:
        return POOLING[pooling["pooling_mode"]]
    raise CreateFailed("Only MEAN, CLS, and LAST pooling types supported")


def block_of(name: str) -> int | None:
    """The first part of a name that is a number."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def plus_one(tensor: Tensor) -> Tensor:
    """The weights of a norm that is computed with one more than is stored."""
    return tensor.computed(lambda array: array + array.dtype.type(1))
