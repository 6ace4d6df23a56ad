"""Measure pulls: `python -m bench.pull [speed|chat|kills ...]`.

speed   a pull from a registry on this machine beside curl and sha256sum of the same bytes, in turns: time, processor
        time, memory
chat    the tokens/s of a stream with and without a pull beside it, in turns
kills   a pull that is killed again and again at random moments: bytes sent in all, what the store has in the end

The server is Puna's own, started by its command; the registry is a process of its own, see `file_registry`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import random_model
from bench.peer import WORK
from bench.servers import Loading, Puna
from tools.server_process import ServerProcess, puna_server

CASES = ("speed", "chat", "kills")
GOAL_SPEED = 0.8
GOAL_MEMORY_MB = 150.0
GOAL_CHAT = 0.9
GOAL_BYTES = 1.1


class Registry:
    """A registry with one blob of random bytes."""

    def __init__(self, folder: Path, size_bytes: int, rate: float | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.size_bytes = size_bytes
        self.path = folder / "blob"
        _write_random(self.path, size_bytes)
        command = [sys.executable, "-m", "bench.file_registry", str(self.path)]
        self._process = subprocess.Popen(
            command + (["--rate", str(rate)] if rate else []), stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.host = f"127.0.0.1:{int(self._process.stdout.readline())}"
        self.name = f"{self.host}/lib/m:latest"
        manifest = json.loads(self.get("/v2/lib/m/manifests/latest"))
        self.digest = str(manifest["layers"][0]["digest"])

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.host}{path}", timeout=60) as answer:
            return bytes(answer.read())

    @property
    def sent_bytes(self) -> int:
        return int(self.get("/sent"))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def registry(folder: Path, size_bytes: int, rate: float | None = None) -> Iterator[Registry]:
    found = Registry(folder, size_bytes, rate)
    try:
        yield found
    finally:
        found.close()


def pull(server: ServerProcess, name: str, *, stop: threading.Event | None = None) -> str:
    """The last status of a pull, or its error; "stopped" where the event ended it, "lost" where the server went."""
    connection = http.client.HTTPConnection(server.host, timeout=600)
    last = "lost"
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("POST", "/api/pull", json.dumps({"model": name, "insecure": True}))
        for line in connection.getresponse():
            found = json.loads(line)
            last = found.get("error") or found["status"]
            if stop is not None and stop.is_set():
                return "stopped"
    return last


def delete(server: ServerProcess, name: str) -> None:
    request = urllib.request.Request(
        f"{server.url}/api/delete", data=json.dumps({"model": name}).encode(), method="DELETE"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


# --------------------------------------------------------------------------------------------------------------------
# speed


def measure_speed(folder: Path, n_rounds: int, size_bytes: int) -> bool:
    seconds: list[tuple[float, float]] = []
    cpu_s: list[tuple[float, float]] = []
    peaks = []
    with registry(folder / "registry", size_bytes) as source, puna_server(folder / "home") as server:
        for number in range(n_rounds + 1):
            before = _children_cpu_s()
            theirs_s = _fetch_with_curl(source, folder / "out")
            theirs_cpu_s = _children_cpu_s() - before
            ours_s, ours_cpu_s, peak_mb = _fetch_with_puna(source, server)
            if number:  # the first one warms up
                seconds.append((ours_s, theirs_s))
                cpu_s.append((ours_cpu_s, theirs_cpu_s))
                peaks.append(peak_mb)
    ratio = statistics.median(theirs / ours for ours, theirs in seconds)
    gigabytes = size_bytes / 1e9
    print(f"speed: pull {_medians(seconds, 1 / gigabytes)} s/GB, processor {_medians(cpu_s, 1 / gigabytes)} s/GB")
    print(
        f"speed: {ratio:.2f} x curl + sha256sum (goal {GOAL_SPEED}); "
        f"memory {max(peaks):.0f} MB (goal {GOAL_MEMORY_MB:.0f})"
    )
    return ratio >= GOAL_SPEED and max(peaks) <= GOAL_MEMORY_MB


def _fetch_with_curl(source: Registry, to: Path) -> float:
    start = time.monotonic()
    url = f"http://{source.host}/v2/lib/m/blobs/{source.digest}"
    subprocess.run(["curl", "-s", "-o", str(to), url], check=True)
    subprocess.run(["sha256sum", str(to)], check=True, stdout=subprocess.DEVNULL)
    duration_s = time.monotonic() - start
    to.unlink()
    return duration_s


def _fetch_with_puna(source: Registry, server: ServerProcess) -> tuple[float, float, float]:
    """Seconds, processor seconds, peak memory in MB (of the server's process, which has no children here)."""
    process = psutil.Process(server.pid)
    start, before = time.monotonic(), _cpu_s(process)
    with _watched_memory(process) as peak:
        status = pull(server, source.name)
    duration_s = time.monotonic() - start
    used_s = _cpu_s(process) - before
    if status != "success":
        raise SystemExit(f"the pull ended with {status}")
    delete(server, source.name)
    return duration_s, used_s, peak[0]


@contextmanager
def _watched_memory(process: psutil.Process) -> Iterator[list[float]]:
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


# --------------------------------------------------------------------------------------------------------------------
# chat


def measure_chat(folder: Path, n_rounds: int, n_tokens: int, size_bytes: int) -> bool:
    model = random_model.make(random_model.SMOL, WORK / "models")
    alone: list[Stream] = []
    beside: list[Stream] = []
    with registry(folder / "registry", size_bytes) as source:
        puna = Puna(folder / "home", model, Loading(n_parallel=1, n_ctx=2048))
        try:
            _tokens_per_s(puna, n_tokens)
            for number in range(n_rounds):
                for is_beside in (False, True) if number % 2 else (True, False):
                    (beside if is_beside else alone).append(_one_stream(puna, source, n_tokens, is_beside=is_beside))
                print(f"chat: round {number}: alone {alone[-1]}; beside a pull {beside[-1]}", flush=True)
        finally:
            puna.process.stop()
    ratio = statistics.median(b.tokens_per_s / a.tokens_per_s for a, b in zip(alone, beside, strict=True))
    taken = statistics.median(b.server_cores - a.server_cores for a, b in zip(alone, beside, strict=True))
    print(f"chat: {ratio:.2f} x the speed alone (goal {GOAL_CHAT}); the pull took {taken:.3f} of a core")
    return bool(ratio >= GOAL_CHAT)


@dataclass(frozen=True)
class Stream:
    """One stream of tokens; what the server's own process, which pulls, used meanwhile, and what the pull brought."""

    tokens_per_s: float
    server_cores: float
    pulled_bytes_per_s: float

    def __str__(self) -> str:
        brought = f", {self.pulled_bytes_per_s / 1e6:.1f} MB/s" if self.pulled_bytes_per_s else ""
        return f"{self.tokens_per_s:.1f} tok/s, {self.server_cores:.3f} cores{brought}"


def _one_stream(puna: Puna, source: Registry, n_tokens: int, *, is_beside: bool) -> Stream:
    stop = threading.Event()
    thread = threading.Thread(target=_pull_until, args=(puna.process, source.name, stop))
    process = psutil.Process(puna.process.pid)
    if is_beside:
        thread.start()
    sent, used_s, start = source.sent_bytes, _cpu_s(process), time.monotonic()
    try:
        speed = _tokens_per_s(puna, n_tokens)
        duration_s = time.monotonic() - start
        used_s = _cpu_s(process) - used_s
        return Stream(speed, used_s / duration_s, (source.sent_bytes - sent) / duration_s)
    finally:
        stop.set()
        if is_beside:
            thread.join()


def _pull_until(server: ServerProcess, name: str, stop: threading.Event) -> None:
    while not stop.is_set():
        if pull(server, name, stop=stop) == "success":
            delete(server, name)


def _tokens_per_s(puna: Puna, n_tokens: int) -> float:
    options = {"num_predict": n_tokens, "num_ctx": 2048, "seed": 1}
    body = {"model": "bench", "prompt": "abc", "raw": True, "options": options}
    connection = http.client.HTTPConnection(puna.process.host, timeout=600)
    with contextlib.closing(connection):
        connection.request("POST", "/api/generate", json.dumps(body))
        last: dict[str, Any] = {}
        for line in connection.getresponse():
            last = json.loads(line)
    return float(last["eval_count"] / last["eval_duration"] * 1e9)


# --------------------------------------------------------------------------------------------------------------------
# kills


def measure_kills(folder: Path, n_kills: int, size_bytes: int, rate: float) -> bool:
    rng = random.Random(7)
    home = folder / "home"
    duration_s = size_bytes / rate
    with registry(folder / "registry", size_bytes, rate) as source:
        n_killed = 0
        while n_killed < n_kills:
            server = puna_server(home).start()
            thread = threading.Thread(target=pull, args=(server, source.name))
            thread.start()
            time.sleep(rng.uniform(0.0, 1.6 * duration_s / n_kills))
            os.kill(server.pid, 9)
            thread.join()
            server.stop()
            n_killed += 1
        with puna_server(home) as server:
            status = pull(server, source.name)
        sent = source.sent_bytes / size_bytes
        blobs = [path for path in home.rglob("blobs/*") if path.is_file()]
        is_same = [path.name for path in blobs] == [source.digest.replace(":", "-")]
        is_same &= is_same and hashlib.sha256(blobs[0].read_bytes()).hexdigest() == source.digest.partition(":")[2]
    left = [] if is_same else [path.name for path in blobs]
    print(f"kills: {n_kills} kills, then {status}; {sent:.3f} x the bytes (goal {GOAL_BYTES}); left over: {left}")
    return status == "success" and is_same and sent < GOAL_BYTES


# --------------------------------------------------------------------------------------------------------------------


def _write_random(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size_bytes, 1 << 20):
            file.write(os.urandom(min(1 << 20, size_bytes - start)))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _medians(pairs: list[tuple[float, float]], factor: float) -> str:
    ours, theirs = (factor * statistics.median(column) for column in zip(*pairs, strict=True))
    return f"{ours:.2f} (curl and sha256sum {theirs:.2f})"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.pull", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], metavar="case", help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--kills", type=int, default=50)
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    chosen = args.cases or CASES
    size_bytes = args.megabytes * 1_000_000
    reached = []
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as scratch:
        folder = Path(scratch)
        if "speed" in chosen:
            reached.append(measure_speed(folder / "speed", args.rounds, size_bytes))
        if "chat" in chosen:
            reached.append(measure_chat(folder / "chat", args.rounds, args.tokens, size_bytes))
        if "kills" in chosen:
            reached.append(measure_kills(folder / "kills", args.kills, size_bytes // 2, 40e6))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
