"""A runner without a model: `python -m tests.fakes.worker FD` speaks the protocol and does what the words ask for.

Model path: `bad` fails to load, `large` is out of memory, `die` ends with a line on stderr, `stall` never answers.
Prompt: every word comes back as a chunk; `crash` ends the process, `hang` never answers, `refuse` is a bad request,
`flood` is answered with chunks for as long as it is not cancelled.
Input: one of `long` is cut.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

from models.runner.messages import (
    Cancel,
    Chunk,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    FailureKind,
    Finished,
    FromRunner,
    Generate,
    InputCut,
    Load,
    LoadFailed,
    Loading,
    Ready,
    Reason,
    Stop,
    Text,
    Tokenize,
    Tokens,
    ToRunner,
    decode_to_runner,
    encode_frame,
)


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    stream = connection.makefile("rb")
    while (head := stream.read(4)) and len(head) == 4:
        message = decode_to_runner(stream.read(int.from_bytes(head, "big")))
        if isinstance(message, Generate) and message.prompt == "flood":
            flood(connection, message.request_id)
        for answer in answers(message):
            connection.sendall(encode_frame(answer))


def flood(connection: socket.socket, request_id: int) -> None:
    """Chunks, each numbered, until the server has something to say."""
    number = 0
    while not select.select([connection], [], [], 0)[0]:
        connection.sendall(encode_frame(Chunk(request_id, f"{number:09} " * 1000)))
        number += 1


def answers(message: ToRunner) -> list[FromRunner]:
    match message:
        case Load(config=config):
            return load(config.model_path)
        case Generate():
            return generate(message)
        case Embed(request_id=i, inputs=inputs):
            cuts = tuple(InputCut(number, 9, 1) for number, text in enumerate(inputs) if text == "long")
            return [Embedded(i, b"\0" * 8 * len(inputs), 2, len(inputs), cuts)]
        case Tokenize(request_id=i, text=text):
            return [Tokens(i, tuple(text.encode()))]
        case Detokenize(request_id=i, tokens=tokens):
            return [Text(i, bytes(tokens).decode())]
        case Cancel(request_id=i):
            print(f"cancelled {i}", file=sys.stderr, flush=True)
            return [Finished(i, Reason.CANCELLED, 0, 0, 0, 0, 0)]
        case Stop():
            sys.exit(0)


def load(path: str) -> list[FromRunner]:
    if path == "bad":
        return [LoadFailed("no such architecture")]
    if path == "large":
        return [LoadFailed("400 GB", out_of_memory=True)]
    if path == "die":
        print("error: the file is strange", file=sys.stderr, flush=True)
        os._exit(3)
    if path == "stall":
        time.sleep(60)
    return [Loading(0.5), Ready(4096, 4096, 256, 1, 0, adds_bos=False)]


def generate(message: Generate) -> list[FromRunner]:
    if "crash" in message.prompt:
        print("GGML_ASSERT failed", file=sys.stderr, flush=True)
        os._exit(134)
    if message.prompt == "flood":
        return []
    if "hang" in message.prompt:
        return [Chunk(message.request_id, "wait")]
    if "refuse" in message.prompt:
        return [Failed(message.request_id, FailureKind.BAD_REQUEST, "too long")]
    words = message.prompt.split()
    chunks: list[FromRunner] = [Chunk(message.request_id, word) for word in words]
    return [*chunks, Finished(message.request_id, Reason.STOP, 1, 0, 1, len(words), 1)]


if __name__ == "__main__":
    main()
