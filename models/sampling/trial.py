"""Compile a grammar in a process of its own first, if doing so might take all time and memory.

    python -m models.sampling.trial < GRAMMAR        exits with 0, whether the grammar is good or not, or is killed

llguidance bounds most of its work, but not the question whether a regular expression that is the intersection of many
others matches anything at all: the time doubles with each of them (14: 8 s; 18: minutes, and gigabytes of memory).
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys

log = logging.getLogger(__name__)

FEW = 8
"""So many regular expressions at once are compiled in a tenth of a second, whatever they are."""
MAX_CPU_S = 2
MAX_BYTES = 1 << 30
"""Of address space; an interpreter with llguidance takes a small part of it."""
_MAX_S = 20.0
_EXPRESSION = re.compile(r'"(pattern|patternProperties|format)"')


def is_needed(text: str, *, is_schema: bool) -> bool:
    """Whether a JSON schema, or a grammar, which may have some in it, intersects more than a few expressions."""
    if not is_schema and text.count("&") > FEW:
        return True
    return ('"allOf"' in text or '"$ref"' in text) and len(_EXPRESSION.findall(text)) > FEW


def ends(lark: str) -> bool:
    """Whether compiling comes to an end within the limits."""
    command = [sys.executable, "-m", "models.sampling.trial"]
    try:
        done = subprocess.run(command, input=lark.encode(), timeout=_MAX_S, capture_output=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("a grammar was not tried: %s", error)
        return False
    return done.returncode == 0


def main() -> int:
    """The exit status."""
    from llguidance import LLMatcher, LLTokenizer

    lark = sys.stdin.read()
    _limit_resources()
    LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_lark(lark), log_level=0)
    return 0


def _limit_resources() -> None:
    """Where the system has such limits; elsewhere the time is bounded by who waits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
