"""Everything the server and a runner say to each other: frozen values over one socket, nothing shared.

A frame is a 4-byte big-endian length and a MessagePack value of one of the two unions below. `request_id` is chosen by
the server, unique for the life of the runner. Every request gets exactly one final answer: `Finished`, `Embedded`,
`Tokens`, `Text`, `AdaptersHeld` or `Failed`; `Chunk`s come before a `Finished`. After `Cancel` the final answer still
comes (`Finished` with `Reason.CANCELLED`), unless it was already on its way.

Durations are nanoseconds, counts are tokens.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

FRAME_HEAD_BYTES = 4
MAX_FRAME_BYTES = 256 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of everything on the wire; the class name is the tag."""


# --------------------------------------------------------------------------------------------------------------------
# What a request asks


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
    """How a model is loaded; two equal configurations of one model can share a runner. No holes, no "automatic"."""

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
    """Which of models.option_types.SAMPLERS are applied, in this order; None: all."""


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
    """`json` (any object; `text` is not looked at), `json_schema`, `gbnf`, `lark` or `regex`."""
    text: str
    thought: Thought | None = None
    """Text that may come first and is free."""
    tags: tuple[str, ...] = ()
    """Texts, each perhaps a control token, that a `lark` grammar calls `tag_0`, `tag_1`, … (and `until_tag_0`, … any
    text up to and including the tag)."""


class MixedPrompt(msgspec.Struct, frozen=True):
    """Texts with image and sound files, as they came, between them: one text more than files, each perhaps empty."""

    texts: tuple[str, ...]
    files: tuple[bytes, ...]


# --------------------------------------------------------------------------------------------------------------------
# Server → runner


class Load(Message, frozen=True, tag=True):
    """The first message, once."""

    config: RunnerConfig


class Generate(Message, frozen=True, tag=True):
    """Continue a prompt."""

    request_id: int
    prompt: str
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    n_predict: int | None = None
    """At most so many tokens; None: until the model ends or the context is full."""
    n_keep: int = 4
    """Tokens at the start that a context shift keeps (one more if the tokenizer adds BOS; negative: all)."""
    truncate: bool = True
    """Whether a prompt longer than the context loses its middle (needs `shift`); otherwise it is refused."""
    n_logprobs: int | None = None
    """None: no log-probabilities; k: those of the chosen token and of the k best."""
    constraint: Constraint | None = None
    shown: tuple[str, ...] = ()
    """Control tokens that the text shows all the same, as `<tool_call>` is for some models."""
    thought_budget: ThoughtBudget | None = None
    tokens: tuple[int, ...] | None = None
    """A prompt given as tokens, exactly these, in place of `prompt`."""
    mixed: MixedPrompt | None = None
    """A prompt with images or sounds, in place of `prompt`."""
    adapters: AdapterSet = ()


class Embed(Message, frozen=True, tag=True):
    """One vector for each input."""

    request_id: int
    inputs: tuple[str, ...]
    truncate: bool = True
    normalize: bool = True
    """L2 norm 1 (floor 1e-12)."""
    adapters: AdapterSet = ()


class Tokenize(Message, frozen=True, tag=True):
    request_id: int
    text: str
    add_special: bool = False


class Detokenize(Message, frozen=True, tag=True):
    request_id: int
    tokens: tuple[int, ...]


class LoadAdapters(Message, frozen=True, tag=True):
    """Have these in memory, before a request uses them: so that it is told if that cannot be."""

    request_id: int
    paths: tuple[str, ...]


class FreeAdapters(Message, frozen=True, tag=True):
    """Give up those that no request uses."""

    request_id: int


class Cancel(Message, frozen=True, tag=True):
    """Free the slot of this request between two steps."""

    request_id: int


class Stop(Message, frozen=True, tag=True):
    """Exit; running requests are abandoned."""


ToRunner = Load | Generate | Embed | Tokenize | Detokenize | LoadAdapters | FreeAdapters | Cancel | Stop


# --------------------------------------------------------------------------------------------------------------------
# Runner → server


class Loading(Message, frozen=True, tag=True):
    """Progress of a load, 0 to 1; also a sign of life."""

    fraction: float


class Ready(Message, frozen=True, tag=True):
    """The model is loaded."""

    n_ctx: int
    """Context of one sequence, as it really is."""
    n_ctx_train: int
    n_vocab: int
    size_bytes: int
    """Weights, KV cache and compute buffers together, without adapters."""
    vram_bytes: int
    """The part of `size_bytes` that lies on GPUs."""
    adds_bos: bool
    adapters: HeldAdapters = HeldAdapters()


class LoadFailed(Message, frozen=True, tag=True):
    """The runner exits after this; `out_of_memory` says that less context or fewer other models might help."""

    text: str
    out_of_memory: bool = False


class TokenProb(msgspec.Struct, frozen=True, array_like=True):
    """A token's piece (raw bytes, perhaps half a character) and its natural log-probability."""

    piece: bytes
    logprob: float


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """A generated token, with the best alternatives at its place (itself among them), most likely first."""

    piece: bytes
    logprob: float
    top: tuple[TokenProb, ...] = ()


class Chunk(Message, frozen=True, tag=True):
    """Text of one or more tokens: complete UTF-8, nothing that may still become a stop string."""

    request_id: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    n_tokens: int = 1
    """How many generated tokens this text stands for, those that released nothing included."""


class Reason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    """End-of-generation token or stop string."""
    LIMIT = "limit"
    """`n_predict` reached."""
    CONTEXT = "context"
    """The context is full, and it may not shift."""
    CANCELLED = "cancelled"


class Finished(Message, frozen=True, tag=True):
    """The final answer to `Generate`."""

    request_id: int
    reason: Reason
    n_prompt: int
    """Tokens of the prompt as computed, those from the prefix cache included."""
    n_cached: int
    prompt_ns: int
    n_generated: int
    """Tokens sampled, the end-of-generation token included."""
    decode_ns: int
    n_truncated: int = 0
    """Tokens that the prompt lost to fit the context."""
    n_shifted: int = 0
    """Tokens that the context lost while it generated."""


class Embedded(Message, frozen=True, tag=True):
    """The final answer to `Embed`: float32, little endian, shape (n_inputs, n_embd)."""

    request_id: int
    vectors: bytes
    n_embd: int
    n_tokens: int


class Tokens(Message, frozen=True, tag=True):
    request_id: int
    tokens: tuple[int, ...]


class Text(Message, frozen=True, tag=True):
    request_id: int
    text: str


class AdaptersHeld(Message, frozen=True, tag=True):
    """The final answer to `LoadAdapters` and `FreeAdapters`: what the runner has now."""

    request_id: int
    held: HeldAdapters


class FailureKind(StrEnum):
    """What kind of failure; the texts of the first four are Ollama's and go to the client as they are."""

    BAD_REQUEST = "bad_request"
    """Refused: 400 (input too long, bad grammar, invalid token)."""
    CONTEXT_EXCEEDED = "context_exceeded"
    """The prompt is longer than the context and may not be cut: 400; `n_prompt` and `n_ctx` say how much."""
    UNUSABLE_OUTPUT = "unusable_output"
    """The model computed NaN or infinity."""
    UNSUPPORTED = "unsupported"
    """This model or build cannot do that."""
    LOAD = "load"
    """An adapter could not be loaded; those who use it fail, the others go on."""
    INTERNAL = "internal"
    """A defect or a native failure; the request is lost, the runner goes on."""


class Failed(Message, frozen=True, tag=True):
    """The final answer to a request that could not be served."""

    request_id: int
    kind: FailureKind
    text: str
    n_prompt: int = 0
    n_ctx: int = 0


FromRunner = Loading | Ready | LoadFailed | Chunk | Finished | Embedded | Tokens | Text | AdaptersHeld | Failed

_to_runner: msgspec.msgpack.Decoder[ToRunner] = msgspec.msgpack.Decoder(ToRunner)
_from_runner: msgspec.msgpack.Decoder[FromRunner] = msgspec.msgpack.Decoder(FromRunner)
_encoder = msgspec.msgpack.Encoder()


def encode_frame(message: ToRunner | FromRunner) -> bytes:
    """Length prefix and payload, ready for the socket."""
    payload = _encoder.encode(message)
    return len(payload).to_bytes(FRAME_HEAD_BYTES, "big") + payload


def decode_to_runner(payload: bytes) -> ToRunner:
    """Payload of one frame, as the runner reads it. Raises: msgspec.DecodeError."""
    return _to_runner.decode(payload)


def decode_from_runner(payload: bytes) -> FromRunner:
    """Payload of one frame, as the server reads it. Raises: msgspec.DecodeError."""
    return _from_runner.decode(payload)
