"""How long a thread of llama.cpp spins at a barrier before it sleeps."""

from __future__ import annotations

import os

SPIN_COUNT = 10_000
"""Some 200 µs (Zen 5). libgomp's own default is about a millisecond, and a token has some hundred barriers: as soon
as another process wants the cores too, threads wait for one that does not run, instead of letting it run. Measured on
two cores with a 135M Q8_0 model: beside a busy process 8 streams get 89 tokens/s instead of 9, one stream 8.5 instead
of 5; on an idle machine nothing is lost against the default. Less spinning helps a busy machine more (1000: 101 and 27)
but costs one stream over HTTP 5 to 10 % of an idle one; sleeping at once (OMP_WAIT_POLICY=passive) costs two thirds.
"""


def bound_spinning() -> None:
    """Set the bound, unless the environment sets one; to be called before libgomp is loaded, which reads it then."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
