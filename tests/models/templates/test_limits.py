from __future__ import annotations

import gc
from time import thread_time

import pytest

from models.templates.errors import TemplateLimitExceeded
from models.templates.limits import BASE_SECONDS, Budget


def work() -> None:
    end = thread_time() + BASE_SECONDS + 0.01
    while thread_time() < end:
        pass


def test_a_budget_ends_with_the_time_of_its_own_thread() -> None:
    budget = Budget()
    budget.step()
    work()
    with pytest.raises(TemplateLimitExceeded, match="too long"):
        budget.step()


def test_collecting_garbage_is_no_work_of_a_template() -> None:
    class Slow:
        def __del__(self) -> None:
            work()

    budget = Budget()
    ring = [Slow()]
    ring.append(ring)  # type: ignore[arg-type]  # so that only the collector finds it
    del ring
    gc.collect()
    budget.step()
