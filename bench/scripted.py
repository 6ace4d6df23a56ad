"""A server whose engine is a script: it says as many short pieces as it is asked for, as fast as they are taken.

    python -m bench.scripted             the server (`puna serve` otherwise, settings included)
    python -m bench.scripted FD          its runner: started by the server instead of the real one

What is left is all that lies between a token and its client: the runner's socket, parsing, encoding, HTTP.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

from models.runner import child
from models.runner.messages import (
    Chunk,
    Finished,
    FromRunner,
    Generate,
    Load,
    Ready,
    Reason,
    Stop,
    Tokenize,
    Tokens,
    decode_to_runner,
    encode_frame,
)

STEP = 64
"""Streams that are answered together, as the sequences of one batch are: they get their tokens at the same time."""
PIECE = " word"
N_PROMPT = 10


def serve() -> int:
    from server.cli.main import main

    child.WORKER = "bench.scripted"
    return main(["serve"])


def run(fd: int) -> None:
    """Answer until told to stop."""
    with socket.socket(fileno=fd) as connection, connection.makefile("rb") as stream:
        waiting: list[Generate] = []
        while head := stream.read(4):
            match decode_to_runner(stream.read(int.from_bytes(head, "big"))):
                case Load(config=config):
                    _send(connection, [Ready(config.n_ctx, config.n_ctx, 256, 64, 0, adds_bos=False)])
                case Tokenize(request_id=i, text=text):
                    _send(connection, [Tokens(i, tuple(text.encode()))])
                case Generate() as request:
                    waiting.append(request)
                    if len(waiting) == STEP:
                        for step in _steps(waiting):
                            _send(connection, step)
                        waiting = []
                case Stop():
                    return


def _steps(requests: list[Generate]) -> Iterator[list[FromRunner]]:
    n_steps = min(request.n_predict or 1 for request in requests)
    for i in range(n_steps):
        piece = f"{PIECE}{i % 8}"  # one and the same would be taken for a model that is stuck
        yield [Chunk(request.request_id, piece) for request in requests]
    yield [Finished(r.request_id, Reason.LIMIT, N_PROMPT, 0, 1, n_steps, 1) for r in requests]


def _send(connection: socket.socket, messages: list[FromRunner]) -> None:
    connection.sendall(b"".join(map(encode_frame, messages)))


if __name__ == "__main__":
    if sys.argv[1:]:
        run(int(sys.argv[1]))
    else:
        sys.exit(serve())
