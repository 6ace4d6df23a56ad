"""The runner: a child process that holds one loaded model and answers the server's messages.

    python -m models.runner.worker FD        FD: this end of a socket pair, inherited

The main thread moves messages; a second one loads the model and makes every call on its context; others, started when
needed, prepare requests that take long to prepare. The process ends with the socket, or with its parent.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import queue
import signal
import socket
import sys
import threading
from typing import Any

from models.errors import LoadError, OutOfMemory
from models.runner.courier import Courier, Disconnected
from models.runner.messages import Load, LoadFailed, Loading, Stop, ToRunner
from models.runner.settings import RunnerConfig

log = logging.getLogger("runner")

_CLOGGED_WAIT_S = 0.05
_PROGRESS_STEP = 0.01
_STACK_BYTES = 64 * 1024 * 1024
"""Address space, not memory. Native code recurses where it parses and tokenizes."""
_PR_SET_PDEATHSIG = 1


def main(args: list[str]) -> int:
    """Serve the socket given by number; returns the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    os.putenv("OPENBLAS_NUM_THREADS", "1")  # numpy's own threads would only fight with the model's
    threading.stack_size(_STACK_BYTES)
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the whole group; the server decides
    courier = Courier(socket.socket(fileno=int(args[0])))
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    try:
        first = courier.receive_one()
        if not isinstance(first, Load):
            raise ValueError(f"expected Load, got {type(first).__name__}")
        threading.Thread(target=_compute, args=(first.config, courier, inbox), name="engine", daemon=True).start()
        courier.run(lambda message: _deliver(message, inbox))
    except Disconnected:
        return 0
    return 1  # the courier has sent why the load failed


def _deliver(message: ToRunner, inbox: queue.SimpleQueue[Any]) -> None:
    if isinstance(message, Stop):
        raise Disconnected
    inbox.put(message)


def _end_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies; elsewhere the socket's end has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _compute(config: RunnerConfig, courier: Courier, inbox: queue.SimpleQueue[Any]) -> None:
    """The engine's thread. Whatever it did not expect ends the process: its state is unknown."""
    try:
        _serve(config, courier, inbox)
    except BaseException:
        log.exception("the runner failed")
        logging.shutdown()
        os._exit(1)


def _serve(config: RunnerConfig, courier: Courier, inbox: queue.SimpleQueue[Any]) -> None:
    from models.runner.desk import Desk  # here: numpy and llama.cpp load while the first frame is on its way
    from models.runner.loading import load
    from models.runner.outbox import Outbox

    try:
        model, service, ready = load(config, _Progress(courier))
    except LoadError as error:
        courier.post([LoadFailed(str(error), isinstance(error, OutOfMemory))])
        courier.close_when_sent()
        return
    desk, outbox = Desk(service, model.vocab, model.adapters, inbox), Outbox(courier.post)
    service.when_computed(outbox.flush)
    gc.freeze()  # what is loaded stays: no collection need ever look at it, between two tokens
    outbox.put([ready])
    while True:
        has_work = desk.has_work
        if not has_work:
            outbox.flush()
        while not has_work or not inbox.empty():
            desk.handle(inbox.get())
            has_work = desk.has_work
        if courier.wait_until_flowing(_CLOGGED_WAIT_S):
            outbox.put(desk.step())


class _Progress:
    """Reports the load, not more often than it can be seen."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self._reported = -1.0

    def __call__(self, fraction: float) -> bool:
        if fraction - self._reported >= _PROGRESS_STEP:
            self._reported = fraction
            self._courier.post([Loading(fraction)])
        return True


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)  # native threads may still compute; nothing of theirs is worth waiting for
