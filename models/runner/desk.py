"""What the engine's thread does with each message of the server."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from models.engine.embeddings import EmbeddingEngine, EmbedTask, InputRules, prepare_embed
from models.engine.failures import to_cancelled, to_failed
from models.engine.loop import Engine
from models.engine.ports import Vocabulary
from models.engine.prepare import Preparer
from models.engine.sequence import Task
from models.errors import LoadError, ModelError, Unsupported
from models.runner.lanes import Lane, Lanes, Preparation, Steps
from models.runner.messages import (
    AdaptersHeld,
    Cancel,
    Detokenize,
    Embed,
    Failed,
    FailureKind,
    FreeAdapters,
    FromRunner,
    Generate,
    LoadAdapters,
    Text,
    Tokenize,
    Tokens,
)
from models.runner.settings import AdapterSet, HeldAdapters

log = logging.getLogger(__name__)

# Compat: http-api 6.14, what the original says of a model that is not made for embeddings
NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
NO_GENERATION = "this model computes embeddings; it does not generate text"

UNPREPARED = "the request could not be prepared; the log of the server says why"

_QUICK_CHARS = 16 * 1024
"""Texts up to this are tokenized in a few milliseconds, between two steps."""


class Service(Protocol):
    """One kind of work: requests are prepared into tasks, which an engine computes."""

    @property
    def has_work(self) -> bool: ...
    @property
    def adapter_sets(self) -> Collection[AdapterSet]: ...
    def prepare(self, request: Any) -> Steps[Any]: ...
    def submit(self, task: Any) -> None: ...
    def cancel(self, request_id: int) -> None: ...
    def step(self) -> Sequence[FromRunner]: ...
    def when_computed(self, call: Callable[[], None]) -> None:
        """`call` within each step that computes, when the batch is computed and nothing is made of it yet."""
        ...


class Adapters(Protocol):
    """The adapters in memory; see models.llama.adapters.Adapters."""

    @property
    def held(self) -> HeldAdapters: ...
    def read_ahead(self, paths: Sequence[str]) -> None: ...
    def load(self, paths: Sequence[str]) -> None: ...
    def free_idle(self) -> None: ...


class Generation:
    """Serves `Generate`."""

    def __init__(self, engine: Engine, preparer: Preparer) -> None:
        self._preparer = preparer
        self._engine = engine
        self.submit, self.cancel, self.step = engine.submit, engine.cancel, engine.step

    @property
    def has_work(self) -> bool:
        return self._engine.has_work

    @property
    def adapter_sets(self) -> Collection[AdapterSet]:
        return self._engine.adapter_sets

    def when_computed(self, call: Callable[[], None]) -> None:
        self._engine.when_computed = call

    def prepare(self, request: Generate | Embed) -> Steps[Task]:
        """Raises: BadRequest."""
        if isinstance(request, Embed):
            raise Unsupported(NO_EMBEDDINGS)
        return self._preparer.prepare(request)


class Embedding:
    """Serves `Embed`."""

    def __init__(self, engine: EmbeddingEngine, vocabulary: Vocabulary, rules: InputRules) -> None:
        self._vocabulary = vocabulary
        self._rules = rules
        self._engine = engine
        self.submit, self.cancel, self.step = engine.submit, engine.cancel, engine.step

    @property
    def has_work(self) -> bool:
        return self._engine.has_work

    @property
    def adapter_sets(self) -> Collection[AdapterSet]:
        return self._engine.adapter_sets

    def when_computed(self, call: Callable[[], None]) -> None:
        """Vectors are not held back, so there is nothing to send in between."""

    def prepare(self, request: Generate | Embed) -> Steps[EmbedTask]:
        """Raises: BadRequest."""
        if isinstance(request, Generate):
            raise Unsupported(NO_GENERATION)
        if sum(map(len, request.inputs)) > _QUICK_CHARS:
            yield Lane.READING
        return prepare_embed(request, self._vocabulary, self._rules)


Request = Generate | Embed | Tokenize | Detokenize | LoadAdapters | FreeAdapters
Inbox = queue.SimpleQueue[Any]


class Desk:
    """Answers messages, with the help of a service. What takes long to prepare is prepared in other threads.

    The engine's thread calls it; `inbox` is where it looks for messages, and where prepared requests arrive.
    """

    def __init__(self, service: Service, vocabulary: Vocabulary, adapters: Adapters, inbox: Inbox) -> None:
        self._service = service
        self._vocabulary = vocabulary
        self._adapters = adapters
        self._answers: list[FromRunner] = []
        self._preparing: dict[int, Preparation] = {}
        self._lanes = Lanes(inbox.put)

    @property
    def has_work(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._answers) or self._service.has_work

    def handle(self, message: Request | Cancel | Preparation) -> None:
        """Take one message from the inbox."""
        if isinstance(message, Cancel):
            self._cancel(message.request_id)
        elif isinstance(message, Preparation):
            if self._preparing.pop(message.request_id, None) is not None:
                message.finish()
        else:
            self._prepare(message)

    def step(self) -> Sequence[FromRunner]:
        """Compute a little; returns what the server should hear."""
        answers, self._answers = self._answers, []
        return [*answers, *self._service.step()] if self._service.has_work else answers

    def _cancel(self, request_id: int) -> None:
        preparation = self._preparing.pop(request_id, None)
        if preparation is not None:
            preparation.is_cancelled = True
            self._answers.append(to_cancelled(request_id))
        else:
            self._service.cancel(request_id)

    def _prepare(self, request: Request) -> None:
        preparation = Preparation(request.request_id, self._steps(request))
        lane = preparation.advance()
        if lane is None:
            preparation.finish()
        else:
            self._preparing[request.request_id] = preparation
            self._lanes.put(lane, preparation)

    def _steps(self, request: Request) -> Steps[Callable[[], None]]:
        """Prepare it, or what says why that cannot be; returns what is left to do."""
        try:
            return (yield from self._prepared(request))
        except ModelError as error:
            failed = to_failed(request.request_id, error)
        except Exception:  # one request's defect must not end the others'
            log.exception("a request could not be prepared")
            failed = Failed(request.request_id, FailureKind.INTERNAL, UNPREPARED)
        return lambda: self._answers.append(failed)

    def _prepared(self, request: Request) -> Steps[Callable[[], None]]:
        """Do the part that needs no context: vocabularies and grammars are safe in any thread, contexts are not."""
        match request:
            case Tokenize(request_id=request_id, text=text, add_special=add_special):
                if len(text) > _QUICK_CHARS:
                    yield Lane.READING
                tokens = self._vocabulary.tokenize(text, add_special=add_special)
                return lambda: self._answers.append(Tokens(request_id, tuple(tokens.tolist())))
            case Detokenize(request_id=request_id, tokens=ids):
                if len(ids) > _QUICK_CHARS:
                    yield Lane.READING
                piece = self._vocabulary.detokenize(ids).decode("utf-8", "replace")
                return lambda: self._answers.append(Text(request_id, piece))
            case LoadAdapters(paths=paths):
                yield Lane.READING
                self._adapters.read_ahead(paths)
                return lambda: self._answers.append(self._load_adapters(request))
            case FreeAdapters():
                return lambda: self._answers.append(self._free_adapters(request))
            case _:
                task = yield from self._service.prepare(request)
                return lambda: self._service.submit(task)

    def _load_adapters(self, request: LoadAdapters) -> FromRunner:
        try:
            self._adapters.load(request.paths)
        except LoadError as error:
            return to_failed(request.request_id, error)
        return AdaptersHeld(request.request_id, self._adapters.held)

    def _free_adapters(self, request: FreeAdapters) -> FromRunner:
        self._adapters.free_idle()
        return AdaptersHeld(request.request_id, self._adapters.held)
