"""What the engine's thread does with each message of the server."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from models.engine.embeddings import EmbeddingEngine, EmbedTask, InputRules, prepare_embed
from models.engine.failures import to_cancelled, to_failed
from models.engine.loop import Engine
from models.engine.ports import Vocabulary
from models.engine.prepare import Preparer
from models.engine.sequence import Task
from models.errors import LoadError, ModelError, Unsupported
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
    def is_quick(self, request: Any) -> bool: ...
    def prepare(self, request: Any) -> Any: ...
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

    def is_quick(self, request: Generate | Embed) -> bool:
        return isinstance(request, Embed) or self._preparer.is_quick(request)

    def prepare(self, request: Generate | Embed) -> Task:
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

    def is_quick(self, request: Generate | Embed) -> bool:
        return isinstance(request, Generate) or sum(map(len, request.inputs)) <= _QUICK_CHARS

    def prepare(self, request: Generate | Embed) -> EmbedTask:
        """Raises: BadRequest."""
        if isinstance(request, Generate):
            raise Unsupported(NO_GENERATION)
        return prepare_embed(request, self._vocabulary, self._rules)


@dataclass(frozen=True, slots=True)
class _Done:
    """A request comes back from the thread that prepared it; `finish` belongs to the engine's thread."""

    request_id: int
    finish: Callable[[], None]


Request = Generate | Embed | Tokenize | Detokenize | LoadAdapters | FreeAdapters
Inbox = queue.SimpleQueue[Any]


class Desk:
    """Answers messages, with the help of a service. What takes long to prepare is prepared in another thread.

    The engine's thread calls it; `inbox` is where it looks for messages, and where prepared requests arrive.
    """

    def __init__(self, service: Service, vocabulary: Vocabulary, adapters: Adapters, inbox: Inbox) -> None:
        self._service = service
        self._vocabulary = vocabulary
        self._adapters = adapters
        self._inbox = inbox
        self._answers: list[FromRunner] = []
        self._preparing: set[int] = set()
        self._backroom: queue.SimpleQueue[Request] | None = None

    @property
    def has_work(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._answers) or self._service.has_work

    def handle(self, message: Request | Cancel | _Done) -> None:
        """Take one message from the inbox."""
        if isinstance(message, Cancel):
            self._cancel(message.request_id)
        elif isinstance(message, _Done):
            if message.request_id in self._preparing:
                self._preparing.remove(message.request_id)
                message.finish()
        elif self._is_quick(message):
            self._prepare(message)()
        else:
            self._prepare_elsewhere(message)

    def step(self) -> Sequence[FromRunner]:
        """Compute a little; returns what the server should hear."""
        answers, self._answers = self._answers, []
        return [*answers, *self._service.step()] if self._service.has_work else answers

    def _cancel(self, request_id: int) -> None:
        if request_id in self._preparing:
            self._preparing.remove(request_id)
            self._answers.append(to_cancelled(request_id))
        else:
            self._service.cancel(request_id)

    def _is_quick(self, request: Request) -> bool:
        match request:
            case Tokenize():
                return len(request.text) <= _QUICK_CHARS
            case Detokenize():
                return len(request.tokens) <= _QUICK_CHARS
            case LoadAdapters():
                return False
            case FreeAdapters():
                return True
            case _:
                return self._service.is_quick(request)

    def _prepare(self, request: Request) -> Callable[[], None]:
        """Do the part that needs no context; returns the rest."""
        try:
            match request:
                case Tokenize(request_id=request_id, text=text, add_special=add_special):
                    tokens = self._vocabulary.tokenize(text, add_special=add_special)
                    return lambda: self._answers.append(Tokens(request_id, tuple(tokens.tolist())))
                case Detokenize(request_id=request_id, tokens=ids):
                    piece = self._vocabulary.detokenize(ids).decode("utf-8", "replace")
                    return lambda: self._answers.append(Text(request_id, piece))
                case LoadAdapters(paths=paths):
                    self._adapters.read_ahead(paths)
                    return lambda: self._answers.append(self._load_adapters(request))
                case FreeAdapters():
                    return lambda: self._answers.append(self._free_adapters(request))
                case _:
                    task = self._service.prepare(request)
                    return lambda: self._service.submit(task)
        except ModelError as error:
            failed = to_failed(request.request_id, error)
        except Exception:  # one request's defect must not end the others'
            log.exception("a request could not be prepared")
            failed = Failed(request.request_id, FailureKind.INTERNAL, UNPREPARED)
        return lambda: self._answers.append(failed)

    def _load_adapters(self, request: LoadAdapters) -> FromRunner:
        try:
            self._adapters.load(request.paths)
        except LoadError as error:
            return to_failed(request.request_id, error)
        return AdaptersHeld(request.request_id, self._adapters.held)

    def _free_adapters(self, request: FreeAdapters) -> FromRunner:
        self._adapters.free_idle()
        return AdaptersHeld(request.request_id, self._adapters.held)

    def _prepare_elsewhere(self, request: Request) -> None:
        self._preparing.add(request.request_id)
        if self._backroom is None:
            self._backroom = _start_backroom(self._work_through)
        self._backroom.put(request)

    def _work_through(self, requests: queue.SimpleQueue[Request]) -> None:
        """The other thread: vocabularies and grammars are safe to use there, contexts are not."""
        while True:
            request = requests.get()
            if request.request_id in self._preparing:  # not cancelled meanwhile
                self._inbox.put(_Done(request.request_id, self._prepare(request)))


def _start_backroom(work_through: Callable[[queue.SimpleQueue[Request]], None]) -> queue.SimpleQueue[Request]:
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=work_through, args=(requests,), name="prepare", daemon=True).start()
    return requests
