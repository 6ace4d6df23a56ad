"""How much a template may spend: processor time, and characters that come into being while it runs.

Templates come from strangers. Both engines (Jinja, Go) report every step and every string to a `Budget`, which grows
with the input, so that a long chat renders and a hostile template ends within about 100 ms and 16 MB.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from time import perf_counter, thread_time
from typing import Any, ParamSpec, TypeVar

from models.errors import BadRequest
from models.templates.errors import TemplateLimitExceeded

BASE_SECONDS = 0.05
SECONDS_PER_INPUT_CHAR = 0.5e-6
BASE_CHARS = 2_000_000
CHARS_PER_LIST_ITEM = 8
"""What an element of a new list counts: a pointer, as long as eight Latin letters."""


_P = ParamSpec("_P")
_T = TypeVar("_T")


def walks_values(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function, which walks through values of a request, with those nested too deeply for it refused.

    Raises: BadRequest, in the words for bodies that no decoder takes.
    """

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except RecursionError:
            raise BadRequest("exceeded max depth") from None

    return guarded


class _Collections(threading.local):
    """How long a thread has spent on collecting garbage: no template's work, wherever it falls."""

    seconds = 0.0
    _began = 0.0

    def watch(self, phase: str, info: object) -> None:
        """Called by the collector on the thread that it works on."""
        if phase == "start":
            self._began = thread_time()
        else:
            self.seconds += thread_time() - self._began


_collections = _Collections()
gc.callbacks.append(_collections.watch)


class Budget:
    """What is left for one rendering. Not shared between threads."""

    __slots__ = ("_chars", "_cpu_end", "_wall_end")

    def __init__(self, n_input_chars: int = 0, n_messages: int = 0) -> None:
        # Templates may collect their text in a variable, turn by turn: that is quadratic in the number of turns.
        self._chars = BASE_CHARS + n_input_chars * (16 + n_messages)
        seconds = BASE_SECONDS + n_input_chars * SECONDS_PER_INPUT_CHAR
        self._cpu_end = thread_time() - _collections.seconds + seconds
        self._wall_end = perf_counter() + seconds

    def step(self) -> None:
        """Called for every iteration, call and operator. Raises: TemplateLimitExceeded."""
        if perf_counter() > self._wall_end:
            self._check_processor_time()

    def charge(self, n_chars: int) -> None:
        """Account for text about to be made, or just made. Raises: TemplateLimitExceeded."""
        self._chars -= n_chars
        if self._chars < 0:
            raise TemplateLimitExceeded("template output is too long")

    def _check_processor_time(self) -> None:
        # The wall clock is cheap to read but runs on while others compute; only this thread's own time counts.
        left = self._cpu_end + _collections.seconds - thread_time()
        if left <= 0:
            raise TemplateLimitExceeded("template takes too long")
        self._wall_end = perf_counter() + left


current_budget: ContextVar[Budget] = ContextVar("current_budget")
"""What the code that a Jinja template calls reports to; set for the time of one rendering."""


def n_chars(value: Any) -> int:
    """About how much text an input holds; numbers and the like count one."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + n_chars(item) for key, item in value.items())
    return sum(map(n_chars, value)) if isinstance(value, (list, tuple)) else 1
