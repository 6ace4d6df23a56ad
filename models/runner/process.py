"""The server's side of a runner: start the child, speak with it, notice when it dies.

Messages of one request arrive through its mailbox. A reader that is slow makes its own mailbox join chunks; nobody else
waits. One that does not read loses its request when the mailbox is full. When the child is gone, every open request
hears it once, as `RunnerCrashed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from typing import Self

import msgspec

from models.errors import BadRequest, RunnerCrashed, RunnerError
from models.runner.child import STOP_TIMEOUT_S, LogTail, kill, spawn, until_ready
from models.runner.link import Link
from models.runner.mailbox import Mailbox
from models.runner.messages import (
    FRAME_HEAD_BYTES,
    MAX_FRAME_BYTES,
    AdaptersHeld,
    Cancel,
    Chunk,
    Detokenize,
    Embed,
    Embedded,
    Finished,
    FreeAdapters,
    FromRunner,
    Generate,
    Load,
    LoadAdapters,
    LoadFailed,
    Loading,
    MixedPrompt,
    Ready,
    Stop,
    Text,
    Tokenize,
    Tokens,
    ToRunner,
    encode_frame,
)
from models.runner.settings import AdapterSet, Constraint, RunnerConfig, Sampling, ThoughtBudget

logger = logging.getLogger(__name__)

EMBED_INPUTS = 2048
"""Inputs whose vectors fit a frame, whatever the model."""

UNREAD = "the reply was not read while it was generated, and became too long to wait"
CRASHED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)


class RunnerProcess:
    """A child process that holds one loaded model."""

    def __init__(self, config: RunnerConfig, process: asyncio.subprocess.Process, ready: Ready) -> None:
        self.config = config
        self.ready = ready
        self.adapters = ready.adapters
        """What it has in memory, as far as it has told."""
        self._process = process
        self._link: Link
        self._mailboxes: dict[int, Mailbox] = {}
        self._last_id = 0
        self._disconnected = asyncio.Event()
        self._gone = asyncio.Event()
        self._life: asyncio.Task[None]

    @classmethod
    async def start(cls, config: RunnerConfig, *, stall_timeout_s: float | None = 300.0) -> Self:
        """Start a child and load the model in it; `stall_timeout_s` bounds the time without any progress.

        Cancelling the call kills the child. Raises: LoadError, OutOfMemory.
        """
        said: asyncio.Queue[FromRunner | None] = asyncio.Queue()
        link = Link(said.put_nowait)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            await asyncio.get_running_loop().create_connection(lambda: link, sock=ours)
            try:
                process = await spawn(theirs)
            except BaseException:
                link.close()
                raise
        log = LogTail(process)
        try:
            link.send(encode_frame(Load(config)))
            ready = await until_ready(said, process, log, stall_timeout_s)
        except BaseException:
            link.close()
            kill(process)
            await process.wait()
            await log.closed()
            raise
        runner = cls(config, process, ready)
        runner._begin(link, said, log)
        return runner

    def _begin(self, link: Link, said: asyncio.Queue[FromRunner | None], log: LogTail) -> None:
        self._link = link
        link.deliver = self._deliver
        while not said.empty():  # it may have ended since
            self._deliver(said.get_nowait())
        self._life = asyncio.create_task(self._live(log), name=f"runner {self._process.pid}")

    @property
    def is_alive(self) -> bool:
        return not self._gone.is_set()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_gone(self) -> None:
        """Return when the child has ended, for whatever reason."""
        await self._gone.wait()

    # ---- requests --------------------------------------------------------------------------------------------------

    async def generate(
        self,
        prompt: str = "",
        *,
        sampling: Sampling,
        stop: tuple[str, ...] = (),
        n_predict: int | None = None,
        n_keep: int = 4,
        truncate: bool = True,
        n_logprobs: int | None = None,
        constraint: Constraint | None = None,
        shown: tuple[str, ...] = (),
        thought_budget: ThoughtBudget | None = None,
        tokens: tuple[int, ...] | None = None,
        mixed: MixedPrompt | None = None,
        adapters: AdapterSet = (),
        scores_prompt: bool = False,
    ) -> AsyncGenerator[Chunk | Finished, None]:
        """Continue `prompt`, or else `tokens`, or `mixed`; the last item is `Finished`.

        Closing the iterator early frees the slot.

        Raises: BadRequest, LoadError, RunnerError, RunnerCrashed.
        """
        with self._request() as (request_id, mailbox):
            self._send(
                Generate(
                    request_id, prompt, sampling, stop, n_predict, n_keep, truncate, n_logprobs, constraint, shown,
                    thought_budget, tokens, mixed, adapters, scores_prompt,
                )
            )  # fmt: skip
            while True:
                message = await mailbox.get()
                if isinstance(message, Finished):
                    yield message
                    return
                assert isinstance(message, Chunk)
                yield message

    async def embed(
        self, inputs: tuple[str, ...], *, truncate: bool, normalize: bool, adapters: AdapterSet = ()
    ) -> Embedded:
        """One vector for each input. Raises: BadRequest, LoadError, RunnerError, RunnerCrashed."""
        # In parts: the vectors of a very long list would not fit a frame.
        parts = [inputs[i : i + EMBED_INPUTS] for i in range(0, len(inputs), EMBED_INPUTS)]
        answers = [await self._embed(part, truncate=truncate, normalize=normalize, adapters=adapters) for part in parts]
        if len(answers) == 1:
            return answers[0]
        last = answers[-1]
        vectors = b"".join(answer.vectors for answer in answers)
        n_tokens = sum(answer.n_tokens for answer in answers)
        cuts = tuple(
            msgspec.structs.replace(cut, index=part * EMBED_INPUTS + cut.index)
            for part, answer in enumerate(answers)
            for cut in answer.cuts
        )
        return Embedded(last.request_id, vectors, last.n_embd, n_tokens, cuts)

    async def _embed(
        self, inputs: tuple[str, ...], *, truncate: bool, normalize: bool, adapters: AdapterSet
    ) -> Embedded:
        with self._request() as (request_id, mailbox):
            self._send(Embed(request_id, inputs, truncate, normalize, adapters))
            message = await mailbox.get()
        assert isinstance(message, Embedded)
        return message

    async def tokenize(self, text: str, *, add_special: bool = False) -> tuple[int, ...]:
        """The tokens of a text, control tokens in it recognised. Raises: RunnerError, RunnerCrashed."""
        with self._request() as (request_id, mailbox):
            self._send(Tokenize(request_id, text, add_special))
            message = await mailbox.get()
        assert isinstance(message, Tokens)
        return message.tokens

    async def detokenize(self, tokens: tuple[int, ...]) -> str:
        """The text of tokens. Raises: BadRequest for a token that the vocabulary lacks; RunnerCrashed."""
        with self._request() as (request_id, mailbox):
            self._send(Detokenize(request_id, tokens))
            message = await mailbox.get()
        assert isinstance(message, Text)
        return message.text

    async def load_adapters(self, paths: Collection[str]) -> None:
        """Have these in memory before requests use them. Raises: LoadError, RunnerCrashed."""
        if not set(paths) <= set(self.adapters.paths):
            await self._change_adapters(lambda request_id: LoadAdapters(request_id, tuple(paths)))

    async def free_adapters(self) -> None:
        """Give up those that no request uses. Raises: RunnerCrashed."""
        await self._change_adapters(FreeAdapters)

    async def _change_adapters(self, message: Callable[[int], LoadAdapters | FreeAdapters]) -> None:
        with self._request() as (request_id, mailbox):
            self._send(message(request_id))
            answer = await mailbox.get()
        assert isinstance(answer, AdaptersHeld)
        self.adapters = answer.held

    @contextlib.contextmanager
    def _request(self) -> Iterator[tuple[int, Mailbox]]:
        """A new request id with its mailbox; left before the final answer, the request is cancelled."""
        if not self.is_alive:
            raise RunnerCrashed(CRASHED)
        self._last_id += 1
        request_id, mailbox = self._last_id, Mailbox()
        self._mailboxes[request_id] = mailbox
        try:
            yield request_id, mailbox
        finally:
            if self._mailboxes.pop(request_id, None) is not None and self.is_alive:
                self._send(Cancel(request_id))

    def _send(self, message: ToRunner) -> None:
        """Raises: BadRequest for what the child would not read; it would take that for nonsense, and end."""
        frame = encode_frame(message)
        if len(frame) - FRAME_HEAD_BYTES > MAX_FRAME_BYTES:
            raise BadRequest("the prompt is too long")
        self._link.send(frame)

    # ---- life ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the child; requests that still run are told so."""
        if self.is_alive:
            self._send(Stop())
            try:
                await asyncio.wait_for(self._gone.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                logger.warning("runner %d does not stop, killing it", self.pid)
                kill(self._process)
        await asyncio.wait({self._life})

    async def _live(self, log: LogTail) -> None:
        """Wait until the child closes its end, and clear up after it."""
        try:
            await self._disconnected.wait()
        finally:
            kill(self._process)
            self._link.close()
            self._gone.set()
            await self._process.wait()
            await log.closed()
            self._abandon(log)

    def _deliver(self, message: FromRunner | None) -> None:
        """Hand a message to its mailbox; None: there will be no more."""
        if isinstance(message, Chunk):  # nearly always
            mailbox = self._mailboxes.get(message.request_id)
            if mailbox is not None:
                mailbox.put(message)
                if mailbox.is_full:
                    self._give_up(message.request_id)
        elif message is None:
            self._disconnected.set()
        elif not isinstance(message, Loading | Ready | LoadFailed):
            mailbox = self._mailboxes.pop(message.request_id, None)
            if mailbox is not None:
                mailbox.put(message)

    def _give_up(self, request_id: int) -> None:
        """Cancel a request whose reply nobody reads; what waits can still be read, then it hears why no more came."""
        logger.warning("runner %d: nobody reads the reply to request %d, it is cancelled", self.pid, request_id)
        self._mailboxes.pop(request_id).put(RunnerError(UNREAD))
        self._send(Cancel(request_id))

    def _abandon(self, log: LogTail) -> None:
        waiting, self._mailboxes = self._mailboxes, {}
        text = f"{CRASHED}: {log.last_error}" if log.last_error else CRASHED
        if waiting:
            logger.error("runner %d ended with status %s while it was busy", self.pid, self._process.returncode)
        for mailbox in waiting.values():
            mailbox.put(RunnerCrashed(text))
