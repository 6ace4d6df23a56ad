"""How a runner loads what it is told to load: threads, batches, mapped and locked memory, caches that cannot be."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.errors import LoadError
from models.llama.binding import lib
from models.runner import loading
from models.runner.desk import Generation
from models.runner.messages import Chunk
from models.runner.process import RunnerProcess
from models.runner.settings import KvType
from tests.integration import tiny_architectures
from tests.integration.test_engine_worker import GREEDY, config, say, with_runner

pytestmark = pytest.mark.model

STORY = "It was a dark and stormy night, and nobody had thought of the lamps. " * 5
_CAP_IPC_LOCK = 14
_PR_CAPBSET_DROP = 24


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_architectures.write("attention", tmp_path_factory.mktemp("loading") / "model.gguf")


# ---- threads and batches -------------------------------------------------------------------------------------------


@contextmanager
def loaded(path: Path, **fields: object) -> Iterator[object]:
    """The native context of a model that is loaded into this process."""
    model, service, _ = loading.load(config(path, **fields), lambda fraction: True)
    assert isinstance(service, Generation)
    context = service._engine._context
    yield context.handle  # type: ignore[attr-defined]
    context.close()
    model.close()


@pytest.mark.parametrize(
    ("asked", "tiny_bytes", "n_threads"),
    [(0, loading._TINY_BYTES, 1), (0, 1, 3), (2, loading._TINY_BYTES, 2), (2, 1, 2)],
    ids=["tiny weights", "others", "as asked for tiny ones", "as asked"],
)
def test_tiny_weights_are_left_to_one_thread(
    path: Path, asked: int, tiny_bytes: int, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "default_threads", lambda: 3)
    monkeypatch.setattr(loading, "_TINY_BYTES", tiny_bytes)
    with loaded(path, n_threads=asked) as handle:
        assert (lib.llama_n_threads(handle), lib.llama_n_threads_batch(handle)) == (n_threads, n_threads)


def test_tiny_means_less_than_any_model_of_use(path: Path) -> None:
    assert path.stat().st_size < loading._TINY_BYTES < 50 * 10**6


@pytest.mark.parametrize("n_batch", [32, 512])
def test_a_batch_has_the_size_asked_for(path: Path, n_batch: int) -> None:
    with loaded(path, n_batch=n_batch) as handle:
        assert (lib.llama_n_batch(handle), lib.llama_n_ubatch(handle)) == (n_batch, n_batch)


@pytest.mark.parametrize("architecture", tiny_architectures.ARCHITECTURES)
def test_its_size_does_not_change_what_is_computed(tmp_path: Path, architecture: str) -> None:
    async def work(runner: RunnerProcess) -> None:
        messages = [m async for m in runner.generate(STORY, sampling=GREEDY, n_predict=30, n_logprobs=5)]
        chunks = [message for message in messages if isinstance(message, Chunk)]
        computed.append([probability.logprob for probability in chunks[0].logprobs[0].top])

    computed: list[list[float]] = []
    path = tiny_architectures.write(architecture, tmp_path / "model.gguf")
    for n_batch in (32, 512):
        with_runner(path, work, n_batch=n_batch)
    assert computed[0] == pytest.approx(computed[1], abs=0.1)


# ---- memory --------------------------------------------------------------------------------------------------------


def is_mapped(pid: int, path: Path) -> bool:
    return str(path) in Path(f"/proc/{pid}/maps").read_text()


def locked_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmLck:"))) * 1024


@contextmanager
def lock_limit(n_bytes: int) -> Iterator[None]:
    """Of this process, and of those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))


def as_nobody_special(work: Callable[[], None]) -> None:
    """In a thread whose child processes have to obey that limit, even if this is root."""

    def run() -> None:
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_IPC_LOCK, 0, 0, 0)
        work()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


@pytest.mark.parametrize("use_mmap", [True, False])
@pytest.mark.parametrize("use_mlock", [True, False])
def test_weights_are_mapped_and_locked_as_asked(path: Path, *, use_mmap: bool, use_mlock: bool) -> None:
    size_bytes = path.stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    may_lock = limit == resource.RLIM_INFINITY or limit > 2 * size_bytes

    async def work(runner: RunnerProcess) -> None:
        assert is_mapped(runner.pid, path) == use_mmap
        if not use_mlock:
            assert locked_bytes(runner.pid) == 0
        elif may_lock:
            assert locked_bytes(runner.pid) > 0.9 * size_bytes
        await say(runner, STORY, n_predict=3)

    with_runner(path, work, use_mmap=use_mmap, use_mlock=use_mlock)


@pytest.mark.parametrize("use_mmap", [True, False])
def test_weights_that_may_not_be_locked_are_used_all_the_same(
    path: Path, caplog: pytest.LogCaptureFixture, *, use_mmap: bool
) -> None:
    async def work(runner: RunnerProcess) -> None:
        assert locked_bytes(runner.pid) == 0
        _, end = await say(runner, STORY, n_predict=3)
        assert end.n_generated == 3

    with lock_limit(0):
        as_nobody_special(lambda: with_runner(path, work, use_mmap=use_mmap, use_mlock=True))
    (warning,) = (record for record in caplog.records if "failed to mlock" in record.message)
    assert warning.levelno == logging.WARNING


# ---- caches --------------------------------------------------------------------------------------------------------


def test_a_quantized_cache_without_flash_attention_is_refused_with_a_reason(path: Path) -> None:
    """The server does not ask for it: see `test_without_flash_attention_a_cache_is_not_quantized`."""
    asked = config(path, kv_type=KvType.Q8_0, flash_attention=False)
    with pytest.raises(LoadError, match="quantized V cache requires flash_attn"):
        asyncio.run(RunnerProcess.start(asked))
