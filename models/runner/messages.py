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

from models.runner.settings import AdapterSet, Constraint, HeldAdapters, RunnerConfig, Sampling, ThoughtBudget

FRAME_HEAD_BYTES = 4
MAX_FRAME_BYTES = 256 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of everything on the wire; the class name is the tag."""


# --------------------------------------------------------------------------------------------------------------------
# Server → runner


class MixedPrompt(msgspec.Struct, frozen=True):
    """Texts with image and sound files, as they came, between them: one text more than files, each perhaps empty."""

    texts: tuple[str, ...]
    files: tuple[bytes, ...]


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
    scores_prompt: bool = False
    """Whether the log-probabilities of the prompt's tokens are told, too; `n_predict` may be 0 then."""


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
    """Text of one or more tokens: complete UTF-8, nothing that may still become a stop string.

    Those of a prompt that is scored come first: they have log-probabilities, of which the first means nothing, no text,
    and count as no tokens.
    """

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


class InputCut(msgspec.Struct, frozen=True, array_like=True):
    """An input that was longer than the context: which, its tokens, and how many of them were embedded."""

    index: int
    n_original: int
    n_kept: int


class Embedded(Message, frozen=True, tag=True):
    """The final answer to `Embed`: float32, little endian, shape (n_inputs, n_embd)."""

    request_id: int
    vectors: bytes
    n_embd: int
    n_tokens: int
    cuts: tuple[InputCut, ...] = ()
    """In the order of the inputs."""


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


def decode_from_runner(payload: bytes | bytearray) -> FromRunner:
    """Payload of one frame, as the server reads it. Raises: msgspec.DecodeError."""
    return _from_runner.decode(payload)
