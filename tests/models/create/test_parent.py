"""Children that make files, as the server sees them."""

from __future__ import annotations

from collections.abc import Generator

import psutil
import pytest

from models.create.messages import Quantized
from models.create.parent import run_child
from models.create.request import NO_DIGEST, Progress
from models.errors import CreateFailed
from tests.models.create.children import Act

START = Progress("at it")
HALF = Progress("at it", NO_DIGEST, 2, 1)


def child(job: Act, heartbeat_s: float = 60) -> Generator[Progress, None, Quantized]:
    return run_child("tests.models.create.children", job, Quantized, START, heartbeat_s=heartbeat_s)


def test_a_child_tells_how_far_it_is_and_then_its_result() -> None:
    steps = child(Act("well"))
    assert next(steps) == HALF
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == Quantized()


def test_a_child_that_fails_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CreateFailed, match=r"^the reason$"):
        list(child(Act("badly", "what happened\n")))
    assert caplog.messages == ["tests.models.create.children: what happened"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("", "the process ended before its time"),
        ("one\nanother: two\n", "the process ended before its time: another: two"),
        ("x" * 100_000, "the process ended before its time: " + "x" * 4096),
    ],
)
def test_a_child_that_ends_without_a_word_is_an_error_with_the_end_of_its_log(said: str, text: str) -> None:
    with pytest.raises(CreateFailed) as failed:
        list(child(Act("silently", said)))
    assert str(failed.value) == text


def test_whoever_waits_hears_of_a_child_that_says_nothing_and_ends_it_by_leaving() -> None:
    steps = child(Act("never"), heartbeat_s=0.01)
    while next(steps) == START:
        pass
    assert [next(steps), next(steps)] == [HALF, HALF]
    (process,) = [p for p in psutil.Process().children() if "tests.models.create.children" in p.cmdline()]
    steps.close()
    assert not process.is_running()


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CreateFailed, match=r"ended before its time: .*No module named tests\.nobody"):
        list(run_child("tests.nobody", Act("well"), Quantized, START, heartbeat_s=60))
