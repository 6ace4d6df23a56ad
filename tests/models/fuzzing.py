"""How long the fuzz tests run: few examples in the suite, as many as asked for by hand.

PUNA_FUZZ_EXAMPLES=100000 pytest tests/models -k fuzz
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_WANTED = os.environ.get("PUNA_FUZZ_EXAMPLES")  # read before the tests' environment is emptied
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def examples(n: int) -> settings:
    """So many examples, unless the environment asks for another number."""
    return settings(max_examples=int(_WANTED or n), deadline=None, suppress_health_check=_SLOW, database=None)
