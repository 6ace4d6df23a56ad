"""Compile a grammar in a process of its own first, if doing so might take all time and memory, or crash.

    python -m models.sampling.trial SECONDS BYTES TOKENS < GRAMMAR

exits with 0 if that comes to an end within so much processor time and address space, for a wrong grammar too. It may
name so many tokens by their numbers.

llguidance bounds some of its work, but not the question whether a regular expression that is the intersection of others
matches anything at all (two `multipleOf` in 90 characters: minutes, and gigabytes of memory), not a text that repeats
itself (`(x{1000}){1000}`), and not how deep rules refer to others: 3000 of them overflow the stack.
"""

from __future__ import annotations

import json
import logging
import math
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

SMALL_CHARS = 4096
"""What is no longer is quick and harmless, but for what is looked for here."""
FEW = 1000
"""So many times may an expression repeat what is repeated in it."""


class Budget(NamedTuple):
    """Processor time, and address space, of which an interpreter with llguidance takes a small part."""

    cpu_s: float
    n_bytes: int


BRIEF = Budget(0.25, 1 << 29)
"""What a usual grammar takes a small part of."""
FULL = Budget(2.0, 1 << 30)
STACK_BYTES = 4 << 20
"""Half of what threads usually have."""
LIMITS: dict[str, Any] = {"verbose_errors": False, "max_items_in_row": 6000, "step_max_items": 500_000}
"""Where llguidance's own are not kept. With these an object may have 1,000 optional properties, and a token of it takes
25 to 55 ms at worst; with its own, one of 200 fails in the middle of a reply."""

MAX_FORCED = 1 << 16
"""Bytes of a text that must come as it is: to find out what it is takes time that grows with its square."""
_N_STEPS = 4
_MAX_S = 20.0

_COUNT = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
_HARMLESS_BESIDE = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"$schema", "$id", "$anchor", "$comment", "$defs", "definitions"}
)
"""Keywords that say nothing of what a value looks like."""
_CHOICES = ("$ref", "anyOf", "oneOf")


def is_needed(kind: str, text: str) -> bool:
    """Whether a constraint might do harm, so far as its text tells. Raises: ValueError, RecursionError.

    Of those that are not long these are harmless: schemas that never ask for several things of one value, expressions
    that repeat little, `json`. Rules of a grammar may double each other, so of grammars nothing can be told.
    """
    if kind == "json":
        return False
    if len(text) > SMALL_CHARS or kind not in ("json_schema", "regex"):
        return True
    return _repeats_much(text) if kind == "regex" else _intersects(json.loads(text))


def _repeats_much(regex: str) -> bool:
    counts = (max((int(n) for n in found.groups() if n), default=1) for found in _COUNT.finditer(regex))
    return math.prod(max(count, 1) for count in counts) > FEW


def _intersects(schema: Any) -> bool:
    """Whether it has a value match several descriptions at once, or one that is as hard to match."""
    return any(map(_is_hard, _objects(schema)))


def _is_hard(node: dict[str, Any]) -> bool:
    if node.keys() & {"allOf", "multipleOf", "patternProperties"}:
        return True
    if isinstance(pattern := node.get("pattern"), str) and ("format" in node or _repeats_much(pattern)):
        return True
    return any(choice in node for choice in _CHOICES) and len(node.keys() - _HARMLESS_BESIDE) > 1


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in it; some are no schemas, and taken for one all the same."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _objects(item)


def ends(lark: str, budget: Budget, *, n_tokens: int) -> bool | None:
    """Whether compiling comes to an end, for a vocabulary of this size.

    None: not within the brief budget, or the machine had no time or room to find out.
    """
    command = [sys.executable, "-m", "models.sampling.trial", *map(str, (*budget, n_tokens if "<[" in lark else 0))]
    try:
        done = subprocess.run(command, input=lark.encode("utf-8", "replace"), timeout=_MAX_S, capture_output=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("a grammar was not tried: %s", error)
        return None
    was_killed = done.returncode < 0  # by a limit, or where memory was refused
    return None if was_killed and budget is not FULL else done.returncode == 0


def main(args: list[str]) -> int:
    """The exit status."""
    lark = sys.stdin.buffer.read().decode()
    threading.stack_size(STACK_BYTES)
    _limit_resources(Budget(float(args[0]), int(args[1])))
    ended: list[bool] = []
    work = threading.Thread(target=lambda: ended.append(_begin(lark, int(args[2]))))
    work.start()
    work.join()
    return 0 if ended == [True] else 1


class _Bytes:
    """Bytes as tokens, and others behind them that only their numbers name; in the shape that llguidance takes."""

    bos_token_id = None
    special_token_ids: Sequence[int] = ()

    def __init__(self, n_tokens: int) -> None:
        self.tokens = [bytes([byte]) for byte in range(256)] + [b""] * (n_tokens - 256)
        self.eos_token_id = len(self.tokens) - 1

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def _begin(lark: str, n_tokens: int) -> bool:
    """Compile, and follow the grammar through a few tokens; False if that fails, or a reply has no choice for too long.

    A grammar that is wrong, or lets nothing begin, is no failure: somebody else says what is wrong with it.
    """
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

    tokenizer = LLTokenizer(TokenizerWrapper(_Bytes(n_tokens)) if n_tokens else "byte")
    grammar = LLMatcher.grammar_from_lark(lark)
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LLParserLimits(**LIMITS))
    if matcher.is_error():
        return True
    within_reply = (1 << max(256, n_tokens - 1)) - 1
    for step in range(_N_STEPS):
        allowed = int.from_bytes(matcher.compute_bitmask(), "little") & within_reply
        if step == 0 and matcher.is_error():
            return True
        if len(matcher.compute_ff_tokens()) > MAX_FORCED:
            return False
        if allowed and not matcher.is_stopped():
            matcher.consume_token((allowed & -allowed).bit_length() - 1)
    return not matcher.is_error()


def _limit_resources(budget: Budget) -> None:
    """Where the system has such limits; elsewhere the time is bounded by who waits."""
    try:
        import resource
    except ImportError:
        return
    signal.setitimer(signal.ITIMER_PROF, budget.cpu_s)  # its signal ends the process
    for kind, most in ((resource.RLIMIT_AS, budget.n_bytes), (resource.RLIMIT_CORE, 0)):
        allowed = resource.getrlimit(kind)[1]
        limit = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        with suppress(ValueError, OSError):  # macOS has a limit of address space, and lets nobody set it
            resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
