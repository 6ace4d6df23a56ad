"""Embeddings: inputs of several requests in one batch, one vector each."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from models.engine.failures import to_cancelled, to_failed
from models.engine.ports import Floats, Tokens, Vocabulary
from models.errors import BadRequest, InputTooLong, ModelError
from models.runner.messages import Embed, Embedded, Failed, Finished, InputCut
from models.runner.settings import AdapterSet

log = logging.getLogger(__name__)

Event = Embedded | Failed | Finished

# Compat: http-api 6.13
TOO_LONG = "the input length exceeds the context length"
NO_ROOM = "input after truncation exceeds maximum context length"
STILL_TOO_LONG = "input exceeds maximum context length and cannot be truncated further"
NOT_FINITE = "embedding contains NaN or Inf values"
_LEAST_NORM = 1e-12


class Embedder(Protocol):
    """Computes vectors; see models.llama.embedder.Embedder."""

    @property
    def n_seq_max(self) -> int: ...
    @property
    def n_batch(self) -> int: ...
    @property
    def n_embd(self) -> int: ...
    @property
    def is_ranking(self) -> bool: ...
    def embed(self, inputs: Sequence[Tokens], adapters: AdapterSet) -> Floats: ...


@dataclass(slots=True)
class EmbedTask:
    """A request to embed, tokenized, and the vectors that it has by now."""

    request_id: int
    inputs: list[Tokens]
    normalize: bool
    adapters: AdapterSet = ()
    cuts: tuple[InputCut, ...] = ()
    vectors: list[Floats] = field(default_factory=list)

    @property
    def waiting(self) -> list[Tokens]:
        return self.inputs[len(self.vectors) :]


@dataclass(frozen=True, slots=True)
class InputRules:
    """The most tokens of an input; whether room is kept for a first and a last token that the text does not spell."""

    n_ctx: int
    keeps_first: bool = True
    keeps_last: bool = True


def prepare_embed(request: Embed, vocabulary: Vocabulary, rules: InputRules) -> EmbedTask:
    """Tokenize and cut the inputs. Raises: InputTooLong, BadRequest."""
    fitted = [fit_input(text, vocabulary, rules, truncate=request.truncate) for text in request.inputs]
    cuts = (InputCut(i, n_original, len(tokens)) for i, (tokens, n_original) in enumerate(fitted))
    lossy = tuple(cut for cut in cuts if cut.n_kept < cut.n_original)
    return EmbedTask(request.request_id, [tokens for tokens, _ in fitted], request.normalize, request.adapters, lossy)


def fit_input(text: str, vocabulary: Vocabulary, rules: InputRules, *, truncate: bool) -> tuple[Tokens, int]:
    """The tokens of an input, special ones included, within the context, and how many it has with nothing cut.

    Raises: InputTooLong, BadRequest.

    Compat: http-api 6.13. What is cut becomes text again before it is embedded.
    """
    tokens = vocabulary.tokenize(text, add_special=True)
    if len(tokens) == 0:
        raise BadRequest("the input has no tokens")
    n_original = len(tokens)
    if n_original <= rules.n_ctx:
        return tokens, n_original
    if not truncate:
        raise InputTooLong(TOO_LONG)
    plain = vocabulary.tokenize(text, add_special=False)
    limit = rules.n_ctx - _n_reserved(plain, vocabulary, rules)
    if limit <= 0:
        raise InputTooLong(NO_ROOM)
    cut = vocabulary.detokenize([int(token) for token in plain[:limit]]).decode("utf-8", "replace")
    tokens = vocabulary.tokenize(cut, add_special=True)
    if len(tokens) > rules.n_ctx:
        raise InputTooLong(STILL_TOO_LONG)
    return tokens, n_original


def _n_reserved(plain: Tokens, vocabulary: Vocabulary, rules: InputRules) -> int:
    first = rules.keeps_first and len(plain) > 0 and plain[0] != vocabulary.bos
    last = rules.keeps_last and len(plain) > 0 and plain[-1] != vocabulary.eos
    return int(first) + int(last)


def plan_inputs(waiting: Sequence[int], *, n_batch: int, n_seq_max: int) -> int:
    """How many of the waiting inputs, given by length, the next batch takes: at least one, then as many as fit."""
    n_tokens = 0
    for n, length in enumerate(waiting[:n_seq_max]):
        n_tokens += length
        if n_tokens > n_batch:
            return max(n, 1)
    return min(len(waiting), n_seq_max)


class EmbeddingEngine:
    """Embeds the inputs of all waiting requests, first come first served, a batch per step. One thread calls it."""

    def __init__(self, embedder: Embedder, *, n_step: int | None = None) -> None:
        """`n_step`: tokens of several inputs in one step; None: as many as a batch holds.

        On a processor a few hundred are best: attention looks at all tokens of a batch, if only to see that they belong
        to another input (64 inputs of 32 tokens, 135M: 7.7 s of one thread in one step of 2,048 tokens, 5.4 s in four).
        """
        self._embedder = embedder
        self._n_step = n_step
        self._tasks: deque[EmbedTask] = deque()
        self._events: list[Event] = []

    @property
    def has_work(self) -> bool:
        return bool(self._tasks or self._events)

    @property
    def adapter_sets(self) -> set[AdapterSet]:
        """Those of all requests that are not answered."""
        return {task.adapters for task in self._tasks}

    def submit(self, task: EmbedTask) -> None:
        self._tasks.append(task)

    def cancel(self, request_id: int) -> None:
        """Drop a request before the next step."""
        for task in self._tasks:
            if task.request_id == request_id:
                self._tasks.remove(task)
                self._events.append(to_cancelled(request_id))
                return

    def step(self) -> list[Event]:
        """Compute one batch; returns the requests that are complete, or failed.

        The oldest request is in it, and those with the same adapters.
        """
        alike = [task for task in self._tasks if task.adapters == self._tasks[0].adapters]
        owners = [task for task in alike for _ in task.waiting]
        inputs = [tokens for task in alike for tokens in task.waiting]
        n_step = min(self._n_step or self._embedder.n_batch, self._embedder.n_batch)
        n = plan_inputs([len(tokens) for tokens in inputs], n_batch=n_step, n_seq_max=self._embedder.n_seq_max)
        if n:
            self._compute(owners[:n], inputs[:n])
        self._answer_complete()
        events, self._events = self._events, []
        return events

    def _compute(self, owners: list[EmbedTask], inputs: list[Tokens]) -> None:
        try:
            vectors = self._embedder.embed(inputs, owners[0].adapters)
        except ModelError as error:
            log.error("%s", error)
            for task in {task.request_id: task for task in owners}.values():
                self._fail(task, error)
            return
        for task, vector in zip(owners, vectors, strict=True):
            task.vectors.append(vector)

    def _answer_complete(self) -> None:
        for task in [task for task in self._tasks if not task.waiting]:
            vectors = np.array(task.vectors, dtype=np.float32).reshape(len(task.inputs), self._embedder.n_embd)
            if not np.isfinite(vectors).all():
                self._fail(task, BadRequest(NOT_FINITE))
                continue
            if task.normalize and not self._embedder.is_ranking:
                vectors = normalize(vectors)
            self._tasks.remove(task)
            n_tokens = sum(map(len, task.inputs))
            rows = vectors.astype("<f4").tobytes()
            self._events.append(Embedded(task.request_id, rows, self._embedder.n_embd, n_tokens, task.cuts))

    def _fail(self, task: EmbedTask, error: ModelError) -> None:
        self._tasks.remove(task)
        self._events.append(to_failed(task.request_id, error))


def normalize(vectors: Floats) -> Floats:
    """Rows of length 1."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: Floats = (vectors / np.maximum(norms, _LEAST_NORM)).astype(np.float32)
    return unit
