"""An answer that goes on when the application has returned, without the application around it.

A stream wakes up for each of its tokens. Whatever stands between the task and the stream is walked through again each
time, and each part of an answer passes all of it on its way out: a framework has some twenty such layers.
"""

from __future__ import annotations

from server.transport.asgi import Application, Scope

_KEY = "puna.handed_over"


def accept_handover(scope: Scope) -> list[Application]:
    """Where that is put which is to be called with the same request when the application has returned."""
    taken: list[Application] = []
    scope[_KEY] = taken
    return taken


def hand_over(scope: Scope, answer: Application) -> None:
    """Let `answer` go on in the application's place, which must not have begun to answer itself."""
    scope[_KEY].append(answer)
