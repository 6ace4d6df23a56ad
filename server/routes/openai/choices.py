"""Several replies to one request: their events in one stream, each with the number of its choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from models.parsers.events import Finished, Usage
from server.routes.events import Event
from server.routes.v1 import Untranslatable
from server.sequences import MOST_AUTOMATIC
from server.settings import Settings

R = TypeVar("R")
Serve = Callable[[R], AsyncGenerator[Event, None]]

MAX_CHOICES = 128


@dataclass(frozen=True, slots=True)
class Choice:
    """An event of the choice with this number."""

    index: int
    event: Event


ChoiceEvent = Event | Choice


def count_choices(n: int | None, name: str = "n") -> int:
    """Raises: Untranslatable."""
    if n is None:
        return 1
    if not 1 <= n <= MAX_CHOICES:
        raise Untranslatable(f"{name} must be between 1 and {MAX_CHOICES}")
    return n


def places(settings: Settings) -> int:
    """How many replies to one request are computed at a time: no more than a model may compute anyway."""
    return settings.n_parallel or MOST_AUTOMATIC


def serve_choices(serve: Serve[R], requests: Sequence[R], *, at_once: int) -> AsyncGenerator[ChoiceEvent, None]:
    """The events of all requests, `at_once` of which run at a time; those of a single one as they are.

    The first error of any of them ends all.
    """
    return serve(requests[0]) if len(requests) == 1 else _together(serve, requests, at_once)


async def _together(serve: Serve[R], requests: Sequence[R], at_once: int) -> AsyncGenerator[ChoiceEvent, None]:
    told: asyncio.Queue[Choice | Exception | None] = asyncio.Queue(maxsize=2 * len(requests))
    places = asyncio.Semaphore(at_once)

    async def play(index: int, request: R) -> None:
        try:
            async with places, aclosing(serve(request)) as events:
                async for event in events:
                    await told.put(Choice(index, event))
        except Exception as error:
            await told.put(error)  # raised again where the events are read
        else:
            await told.put(None)

    tasks = [asyncio.create_task(play(index, request)) for index, request in enumerate(requests)]
    try:
        n_open = len(tasks)
        while n_open:
            match await told.get():
                case Choice() as choice:
                    yield choice
                case None:
                    n_open -= 1
                case error:
                    raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def of_choice(event: ChoiceEvent) -> tuple[int, Event]:
    """Its number, 0 where there is but one, and the event."""
    return (event.index, event.event) if isinstance(event, Choice) else (0, event)


def by_choice(events: Sequence[ChoiceEvent], n_choices: int) -> list[list[Event]]:
    """The events of each choice, in the order of their numbers."""
    found: list[list[Event]] = [[] for _ in range(n_choices)]
    for event in events:
        index, inner = of_choice(event)
        found[index].append(inner)
    return found


def total_usage(ends: Sequence[Finished], per_prompt: int = 0) -> Usage:
    """Of all choices together, `per_prompt` of which (0: all) share a prompt, which counts once."""
    first = [end.usage for end in ends[:: per_prompt or len(ends)]]
    usages = [end.usage for end in ends]
    return replace(
        Usage(),
        n_prompt=sum(usage.n_prompt for usage in first),
        n_cached=sum(usage.n_cached for usage in first),
        n_generated=sum(usage.n_generated for usage in usages),
        n_thinking=sum(usage.n_thinking for usage in usages),
    )
