"""What sees, beside a model that reads and writes: a file of its own, with llama.cpp's architecture `clip`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar, Final

from models.create.convert.architectures.base import Architecture, Named, plus_one
from models.create.convert.architectures.llama import interleaved
from models.create.convert.checkpoint import Checkpoint
from models.create.convert.config import Config
from models.create.convert.keys import Keys
from models.create.convert.naming import NamedTensor
from models.create.convert.numbers import F16, F32, Kind
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

N_BLOCKS: Final = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "depth", "layers", "encoder_layers")
SETTINGS: Final = ("preprocessor_config.json", "processor_config.json")
PATCHES: Final = "v.patch_embd"


class Projector(Architecture):
    """A tower that sees; `config` is its own part of the configuration, `whole` all of it."""

    name = "clip"
    extra_names: ClassVar = {f"{PATCHES}.weight.1": f"{PATCHES}.weight.1"}
    kind: ClassVar[str]
    """What is between the tower and the model, by llama.cpp's name for it."""

    kind_key: ClassVar = "projector_type"
    """`vision.projector_type` where the file also has something that hears."""

    def __init__(self, files: Checkpoint) -> None:
        self.whole = super().configured(files.config)
        super().__init__(files)

    def configured(self, config: Config) -> Config:
        return config.object("vision_config")

    @cached_property
    def n_blocks(self) -> int:
        return self.config.size(*N_BLOCKS)

    @cached_property
    def n_experts(self) -> int:
        return 0

    @property
    def is_present(self) -> bool:
        """Whether the model has its tensors."""
        kept = (self.renamed(name) for name in self.files.stored_tensors())
        return self.files.config.has("vision_config") and any(name is not None for name in kept)

    def renamed(self, name: str) -> str | None:
        return None if "language_model." in name else name

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        if ".patch_embd.weight" in named.name or ".patch_merger.weight" in named.name:
            return F16 if main == F16 else F32
        return None

    def add_parameters(self, keys: Keys) -> None:
        config = self.config
        keys.flag("has_vision_encoder", True)
        keys.text(self.kind_key, self.kind)
        keys.uint32("vision.projection_dim", self.whole.size("hidden_size", "n_embd"))
        keys.uint32("vision.image_size", self._image_size())
        keys.uint32("vision.patch_size", config.size("patch_size"))
        keys.uint32("vision.embedding_length", self._n_embd())
        keys.uint32("vision.feed_forward_length", self._n_ff())
        keys.uint32("vision.block_count", self.n_blocks)
        keys.uint32("vision.attention.head_count", config.size("num_attention_heads", "num_heads", "heads"))
        for key in ("image_mean", "image_std"):
            keys.array(f"vision.{key}", self._spread_of_colours(key))
            if f"vision.{key}" not in keys:
                raise CreateFailed(f"preprocessor_config.json: there is no {key}")

    def _add_scale(self, keys: Keys) -> None:
        """How many patches along a side become one."""
        n_per_side = int((self._settings().find_integer("image_seq_length") or 256) ** 0.5)
        scale = self.config.size("image_size") // self.config.size("patch_size") // max(n_per_side, 1)
        if scale > 0 and scale != 4:  # which is understood
            keys.uint32("vision.projector.scale_factor", scale)

    def _image_size(self) -> int:
        return self.config.size("image_size")

    def _n_embd(self) -> int:
        return self.config.size("hidden_size", "width")

    def _n_ff(self) -> int:
        return self.config.size("intermediate_size")

    def _spread_of_colours(self, key: str) -> list[float]:
        """`image_mean` or `image_std`, one for each colour."""
        return self._settings().numbers(key)

    def _settings(self) -> Config:
        """How pictures are prepared."""
        found: dict[str, Any] = {}
        for name in SETTINGS:
            fields = self.files.json(name) or {}
            for nested in ("media_proc_cfg", "image_processor"):
                inner = fields.get(nested)
                fields = fields | inner if isinstance(inner, dict) else fields
            found |= fields
        return Config(found)


class Gemma3Vision(Projector):
    """Gemma 3."""

    kind = "gemma3"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        eps = self.config.find_number("layer_norm_eps")
        keys.float32("vision.attention.layer_norm_epsilon", 1e-6 if eps is None else eps)
        keys.flag("use_gelu", True)
        self._add_scale(keys)

    def renamed(self, name: str) -> str | None:
        name = name.removeprefix("model.")
        towers = ("multi_modal_projector.", "vision_tower.", "multimodal_projector.", "vision_model.")
        if "vision_model.head." in name or not name.startswith(towers):
            return None
        return super().renamed(name.replace("_weight", ".weight"))

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        if "input_projection" in name:
            return F16
        return F32 if ".embeddings." in name else super().precision(name, named, main)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        yield name, plus_one(tensor) if "soft_emb_norm.weight" in name else tensor


class QwenVision(Projector):
    """What the towers of Qwen have in common."""

    def renamed(self, name: str) -> str | None:
        name = name.removeprefix("model.") if name.startswith("model.visual.") else name
        return super().renamed(name) if name.startswith("visual.") else None

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name != "visual.patch_embed.proj.weight":
            yield name, tensor
            return
        if tensor.n_dims != 5 or tensor.shape[2] != 2:
            raise CreateFailed("pictures are taken in pairs, and in no other number")
        yield f"{PATCHES}.weight", tensor.moved(lambda array: array[:, :, 0])
        yield f"{PATCHES}.weight.1", tensor.moved(lambda array: array[:, :, 1])


class Qwen2Vision(QwenVision):
    """Qwen 2 VL, with other names for its sizes; Qwen 2.5 VL."""

    kind = "qwen2vl_merger"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        eps = self.whole.find_number("rms_norm_eps")
        keys.float32("vision.attention.layer_norm_epsilon", 1e-6 if eps is None else eps)
        if not self._is_old:
            keys.text("projector_type", "qwen2.5vl_merger")
            keys.flag("use_silu", True)
            keys.uint32("vision.n_wa_pattern", self._window_period())

    @property
    def _is_old(self) -> bool:
        return self.files.config.text("model_type") == "qwen2_vl"

    def _window_period(self) -> int:
        """One layer of so many sees everything."""
        full = self.config.integers("fullatt_block_indexes")
        period = full[0] + 1 if full else 0
        if not full or any(after - before != period for before, after in itertools.pairwise(full)):
            raise CreateFailed(f"Invalid fullatt_block_indexes: {full}")
        return period

    def _image_size(self) -> int:
        return self.config.find_integer("image_size") or 560

    def _n_embd(self) -> int:
        return self.config.size("embed_dim", "hidden_size")

    def _n_ff(self) -> int:
        return self.config.size("hidden_size" if self.config.has("embed_dim") else "intermediate_size")

    def precision(self, name: str, named: NamedTensor, main: Kind) -> Kind | None:
        return F32 if ".position_embd." in named.name else super().precision(name, named, main)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if ".qkv." not in name:
            yield from super().transformed(name, tensor, block)
            return
        third = tensor.shape[0] // 3
        for number, letter in enumerate("qkv"):
            yield name.replace("qkv", letter), tensor.rows(number * third, (number + 1) * third)


_DEEPSTACK = re.compile(r"visual\.deepstack_merger_list\.(\d{1,3})\.(norm|linear_fc1|linear_fc2)\.(weight|bias)")
_MERGER = re.compile(r"visual\.merger\.(norm|linear_fc1|linear_fc2)\.(weight|bias)")


class Qwen3Vision(QwenVision):
    """Qwen 3 VL and 3.5, whose tower also speaks into some of the first layers."""

    kind = "qwen3vl_merger"
    extra_names: ClassVar = QwenVision.extra_names | {"mm.0": "mm.0", "mm.2": "mm.2"}
    merged: ClassVar = {"norm": "v.post_ln", "linear_fc1": "mm.0", "linear_fc2": "mm.2"}
    stacked: ClassVar = {"norm": "norm", "linear_fc1": "fc1", "linear_fc2": "fc2"}

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        keys.flag("use_gelu", True)
        if (size := self.config.find_integer("spatial_merge_size")) is not None:
            keys.uint32("vision.spatial_merge_size", size)
        eps = self.files.config.object("text_config").find_number("rms_norm_eps")
        keys.float32("vision.attention.layer_norm_epsilon", 1e-6 if eps is None else eps)
        spoken = self.config.integers("deepstack_visual_indexes")
        keys.array("vision.is_deepstack_layers", [block in spoken for block in range(self.n_blocks)])

    def _image_size(self) -> int:
        patch = self.config.find_integer("patch_size") or 16
        n_positions = self.config.find_integer("num_position_embeddings") or 2304
        return self.config.find_integer("image_size") or int(n_positions**0.5 * patch)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if match := _DEEPSTACK.fullmatch(name):
            spoken, index = self.config.integers("deepstack_visual_indexes"), int(match[1])
            if index >= len(spoken):
                raise CreateFailed(f"{name} is of no layer")
            yield f"v.deepstack.{spoken[index]}.{self.stacked[match[2]]}.{match[3]}", tensor
        elif match := _MERGER.fullmatch(name):
            yield f"{self.merged[match[1]]}.{match[2]}", tensor
        elif name == "visual.patch_embed.proj.bias":
            yield f"{PATCHES}.bias", tensor
        else:
            yield from super().transformed(name, tensor, block)


class PixtralVision(Projector):
    """Mistral 3 and Pixtral."""

    kind = "pixtral"
    activations: ClassVar = {"silu": "use_silu", "gelu": "use_gelu"}

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        eps = self.config.find_number("layer_norm_eps")  # the model's own code has it, no configuration does
        keys.float32("vision.attention.layer_norm_epsilon", 1e-5 if eps is None else eps)
        activation = self.config.find_text("hidden_act") or "gelu"
        if activation not in self.activations:
            raise CreateFailed(f"Unsupported hidden_act: {activation}")
        keys.flag(self.activations[activation], True)
        if (size := self.files.config.find_integer("spatial_merge_size")) is not None:
            keys.uint32("vision.spatial_merge_size", size)

    def renamed(self, name: str) -> str | None:
        name = name.removeprefix("model.")
        if name.endswith("embed_tokens.weight"):
            return "embed_tokens.weight"
        return name if name.startswith(("multi_modal_projector.", "vision_tower.")) else None

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name == "embed_tokens.weight":
            yield "v.token_embd.img_break", tensor.moved(lambda array: array[self._break_token()])
            return
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = interleaved(tensor, self.config.size("num_attention_heads"))
        yield name, tensor

    def _break_token(self) -> int:
        """What ends a row of a picture; its vector is the projector's to give."""
        settings, tokenizer = self.files.json("tokenizer_config.json") or {}, self.files.json("tokenizer.json") or {}
        described = settings.get("added_tokens_decoder")
        entries = list(described.items()) if isinstance(described, dict) else []
        listed = tokenizer.get("added_tokens")
        entries += [(entry.get("id"), entry) for entry in listed or () if isinstance(entry, dict)]
        for token_id, entry in entries:
            if isinstance(entry, dict) and entry.get("content") == "[IMG_BREAK]" and str(token_id).isdecimal():
                return int(token_id)
        raise CreateFailed("Token '[IMG_BREAK]' not found in tokenizer config.")


class Llama4Vision(Projector):
    """Llama 4."""

    kind = "llama4"

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        if self.config.text("hidden_act") != "gelu":
            raise CreateFailed(f"Unsupported hidden_act: {self.config.text('hidden_act')}")
        keys.float32("vision.attention.layer_norm_epsilon", self.config.number("norm_eps"))
        ratio = self.config.number("pixel_shuffle_ratio")
        if not 0 < ratio <= 1:
            raise CreateFailed(f"pixel_shuffle_ratio is {ratio}")
        keys.uint32("vision.projector.scale_factor", int(1.0 / ratio))
        keys.flag("use_gelu", True)

    def renamed(self, name: str) -> str | None:
        if "multi_modal_projector" not in name and "vision_model" not in name:
            return None
        if "positional_embedding_vlm" in name and ".weight" not in name:
            name = f"{name}.weight"
        return super().renamed(name)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        # Its number notwithstanding, there is one layer of this kind.
        yield "mm.model.fc.weight" if "multi_modal_projector.linear_1" in name else name, tensor


class Glm4Vision(QwenVision):
    """GLM-OCR."""

    kind = "glm4v"
    activations: ClassVar = {"silu": "use_silu", "gelu": "use_gelu"}

    def add_parameters(self, keys: Keys) -> None:
        super().add_parameters(keys)
        activation = self.config.text("hidden_act").lower()
        if activation in self.activations:
            keys.flag(self.activations[activation], True)
        eps = self.config.find_number("rms_norm_eps")
        keys.float32("vision.attention.layer_norm_epsilon", 1e-5 if eps is None else eps)

    def _image_size(self) -> int:
        patch = self.config.find_integer("patch_size") or 16
        n_positions = self.config.find_integer("num_position_embeddings") or 2304
        return self.config.find_integer("image_size") or int(n_positions**0.5 * patch)

    def transformed(self, name: str, tensor: Tensor, block: int | None) -> Iterator[Named]:
        if name == "visual.patch_embed.proj.bias":
            yield f"{PATCHES}.bias", tensor
        else:
            yield from super().transformed(name, tensor, block)
