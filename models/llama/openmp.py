"""How long a thread of llama.cpp spins at a barrier before it sleeps."""

from __future__ import annotations

import os

SPIN_COUNT = 1000
"""A few microseconds. libgomp's own default is about a millisecond, and a token has some hundred barriers: as soon as
another process wants the cores too, threads wait for one that does not run, instead of letting it run. Measured on two
cores with a 135M Q8_0 model: on an idle machine 145 tokens/s instead of 131 (8 streams: 300 and 304); beside a busy
process 27 instead of 5 (8 streams: 101 and 9). Sleeping at once (OMP_WAIT_POLICY=passive) costs two thirds when idle.
"""


def bound_spinning() -> None:
    """Set the bound, unless the environment sets one; to be called before libgomp is loaded, which reads it then."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
