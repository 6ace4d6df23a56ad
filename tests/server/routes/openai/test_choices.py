"""Several replies to one request as one stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from models.errors import RunnerCrashed
from models.parsers.events import Delta, DoneReason, Finished, Usage
from server.routes.events import Event
from server.routes.openai.choices import Choice, ChoiceEvent, by_choice, places, serve_choices, total_usage
from server.sequences import MOST_AUTOMATIC
from server.settings import Settings

STOP = Finished(DoneReason.STOP)


class Server:
    """Says the number it is asked for, twice; 7 is an error."""

    def __init__(self) -> None:
        self.n_open = 0
        self.most_open = 0

    async def serve(self, number: int) -> AsyncGenerator[Event, None]:
        self.n_open += 1
        self.most_open = max(self.most_open, self.n_open)
        try:
            for _ in range(2):
                await asyncio.sleep(0)
                if number == 7:
                    raise RunnerCrashed("gone")
                yield Delta(str(number))
            yield STOP
        finally:
            self.n_open -= 1


async def collect(stream: AsyncGenerator[ChoiceEvent, None]) -> list[ChoiceEvent]:
    return [event async for event in stream]


def test_each_event_has_the_number_of_its_choice() -> None:
    found = asyncio.run(collect(serve_choices(Server().serve, [5, 6], at_once=2)))
    assert by_choice(found, 2) == [[Delta("5"), Delta("5"), STOP], [Delta("6"), Delta("6"), STOP]]
    assert all(isinstance(event, Choice) for event in found)


def test_the_events_of_a_single_choice_are_as_they_are() -> None:
    assert asyncio.run(collect(serve_choices(Server().serve, [5], at_once=2))) == [Delta("5"), Delta("5"), STOP]


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_so_many_run_at_once(at_once: int) -> None:
    server = Server()
    found = asyncio.run(collect(serve_choices(server.serve, [1, 2, 3, 4], at_once=at_once)))
    assert (server.most_open, len(found)) == (at_once, 12)


def test_an_error_of_one_ends_all() -> None:
    server = Server()
    with pytest.raises(RunnerCrashed):
        asyncio.run(collect(serve_choices(server.serve, [1, 7, 2, 3], at_once=4)))
    assert server.n_open == 0


def test_a_reader_that_leaves_ends_all() -> None:
    server = Server()

    async def leave() -> None:
        stream = serve_choices(server.serve, [1, 2, 3], at_once=3)
        await anext(stream)
        await stream.aclose()

    asyncio.run(leave())
    assert (server.most_open, server.n_open) == (3, 0)


def test_a_prompt_that_choices_share_counts_once() -> None:
    def end(n_prompt: int, n_cached: int) -> Finished:
        return Finished(DoneReason.STOP, Usage(n_prompt=n_prompt, n_cached=n_cached, n_generated=3, n_thinking=1))

    ends = [end(7, 0), end(7, 6), end(9, 1), end(9, 8)]
    assert total_usage(ends[:2]) == Usage(n_prompt=7, n_generated=6, n_thinking=2)
    assert total_usage(ends, 2) == Usage(n_prompt=16, n_cached=1, n_generated=12, n_thinking=4)


@pytest.mark.parametrize(("n_parallel", "n_places"), [("3", 3), ("1", 1), ("0", MOST_AUTOMATIC), ("", MOST_AUTOMATIC)])
def test_as_many_choices_at_a_time_as_a_model_may_compute(n_parallel: str, n_places: int) -> None:
    environment = {"HOME": "/home/me", "OLLAMA_NUM_PARALLEL": n_parallel}
    assert places(Settings.from_env(environment)) == n_places
