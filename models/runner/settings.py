"""What a runner is told of how to load its model, and of how to choose the tokens of a request: frozen values."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class KvType(StrEnum):
    """Element type of the KV cache."""

    F16 = "f16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


class BackendSampling(StrEnum):
    """Whether the backend that computes the logits picks tokens, too, for requests that it can do so for."""

    AUTO = "auto"
    """On a GPU, if that turns out to be faster."""
    ON = "on"
    OFF = "off"


class RunnerConfig(msgspec.Struct, frozen=True):
    """How a model is loaded; two equal configurations of one model can share a runner. Nothing is left open
    but what only the runner can try."""

    model_path: str
    n_ctx: int
    """Context of one sequence, in tokens (the runner caps it to the model's training context)."""
    n_parallel: int
    n_batch: int
    n_gpu_layers: int
    """Layers on the GPU; -1 is all of them."""
    n_threads: int
    """0: the physical cores this process may use."""
    main_gpu: int | None = None
    use_mmap: bool = True
    shift: bool = True
    """Whether generation past the context drops the middle of it, instead of ending."""
    flash_attention: bool | None = None
    """None: where the backend has it."""
    kv_type: KvType = KvType.F16
    projectors: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    """Those to load together with the model. Which of them a request uses it says itself, and it may bring others."""
    n_cells: int = 0
    """Tokens that all sequences have room for together; 0: `n_ctx` for each."""
    prompt_cache_bytes: int = 0
    """Host memory for computed states that the context has no room for; 0: none."""
    use_mlock: bool = False
    """Whether the weights are kept from being swapped out."""
    backend_sampling: BackendSampling = BackendSampling.AUTO


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is picked; the defaults are Ollama's (http-api 5), the further samplers are off.

    Names and meaning of those are llama-server's.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    """None: a new random one for each request."""
    mirostat: int = 0
    """1 or 2: this version of it chooses, and of the other options only biases and temperature count."""
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    """Tokens that are looked back upon; -1: all of the context."""
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    top_n_sigma: float = -1.0
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    logit_bias: tuple[tuple[int | str, float], ...] = ()
    """What is added to the logit of a token, or of each token of a text; minus infinity bans it."""
    samplers: tuple[str, ...] | None = None
    """Which of models.option_types.SAMPLERS are applied, in this order; None: all. Adaptive-p only if it is named."""
    min_keep: int = 0
    """So many tokens every filter but top_k and top_n_sigma leaves."""
    adaptive_target: float = -1.0
    """The probability that adaptive-p prefers; negative: none."""
    adaptive_decay: float = 0.9
    ignore_eos: bool = False
    """Whether tokens that end a reply are banned, where no constraint says when it ends."""


class Adapter(msgspec.Struct, frozen=True, array_like=True):
    """A LoRA adapter: its file, and how much of it is added to the weights."""

    path: str
    scale: float = 1.0


AdapterSet = tuple[Adapter, ...]
"""What a request computes with besides the weights; states of different sets have nothing in common."""


class HeldAdapters(msgspec.Struct, frozen=True, array_like=True):
    """The adapters that a runner has in memory, and their size; `vram_bytes` is the part that lies on GPUs."""

    paths: tuple[str, ...] = ()
    size_bytes: int = 0
    vram_bytes: int = 0


class Thought(msgspec.Struct, frozen=True):
    """The tags around what a model thinks before it answers. `is_open`: the prompt ends inside a thought."""

    start: str
    end: str
    is_open: bool = False


class ThoughtBudget(msgspec.Struct, frozen=True):
    """After `n_tokens` inside the thought its end tag is forced. 0: a thought that has begun ends at once."""

    thought: Thought
    n_tokens: int


class Constraint(msgspec.Struct, frozen=True):
    """What the generated text must match: a JSON Schema (as JSON text), or a grammar."""

    kind: str
    """`json` (any object; `text` is not looked at), `json_schema`, `gbnf`, `lark`, `regex`, `calls` (Lark of ours)."""
    text: str
    thought: Thought | None = None
    """Text that may come first and is free."""
    tags: tuple[str, ...] = ()
    """Texts, each perhaps a control token, that a grammar of `calls` names `tag_0`, `tag_1`, … (and `until_tag_0`, …
    any text up to and including the tag)."""
