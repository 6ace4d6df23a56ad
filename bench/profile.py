"""Where the time of a burst goes: in the engine, and in the processes around it.

    python -m bench.profile eight-streams [--rounds 3] [--gpu] [--quick]

The first table is of an engine in this process, without server and clients: seconds inside llama_decode, by what was
computed, in the samplers, and in all the rest. The second is over HTTP: processor time of the server, and of its
runner's threads, for each token. Medians of the rounds; one more comes first and is not counted. All rounds are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from bench import machine, random_model, report
from bench.cases import CASES, GPU_CASES, Case, Work, asks
from bench.load import post_all
from bench.peer import WORK
from bench.servers import SCHEMA, Ask, Puna
from bench.workloads import run_round
from models.engine.ports import Floats, TokenSampler
from models.llama.binding import lib
from models.llama.context import Context
from models.llama.outcome import Outcome
from models.runner import loading
from models.runner.desk import Service
from models.runner.lanes import run_through
from models.runner.messages import Failed, Finished, Generate
from models.runner.settings import Constraint, RunnerConfig, Sampling
from models.sampling.after_thought import Constraining

N_BATCH = 512
PROMPT_CACHE_BYTES = 1 << 30
RESULTS = Path(__file__).parent / "results"
BURSTS = [name for name, case in (CASES | GPU_CASES).items() if case.work is Work.BURST]


@dataclass
class EngineTimes:
    """Of one burst, in seconds; a decode that computes a prompt counts as one even if others decode beside it."""

    prompts_s: float = 0.0
    decoding_s: float = 0.0
    sampling_s: float = 0.0
    total_s: float = 0.0
    n_steps: int = 0
    n_tokens: int = 0

    @property
    def rest_s(self) -> float:
        return self.total_s - self.prompts_s - self.decoding_s - self.sampling_s


@dataclass(frozen=True)
class ProcessTimes:
    """Of one burst over HTTP: processor time in seconds, by who spent it."""

    server_s: float
    messages_s: float
    """The runner's first thread, which talks to the server."""
    computing_s: float
    """Its other threads: the engine's, and those of llama.cpp."""
    duration_s: float
    n_tokens: int


@dataclass(frozen=True)
class Profile:
    """All rounds of a burst."""

    engine: Sequence[EngineTimes]
    processes: Sequence[ProcessTimes]


@contextmanager
def counted(times: EngineTimes, name: str) -> Iterator[None]:
    """Add what passes to a field of `times`."""
    started = time.perf_counter()
    try:
        yield
    finally:
        setattr(times, name, getattr(times, name) + time.perf_counter() - started)


class TimedContext(Context):
    """Says how long it computes; there is one engine in this process."""

    times = EngineTimes()

    def decode(self) -> Outcome:
        is_decoding = self.batch.n_tokens == self.batch.n_outputs
        with counted(TimedContext.times, "decoding_s" if is_decoding else "prompts_s"):
            outcome = super().decode()
            lib.llama_synchronize(self.handle)  # a GPU would go on, and who reads the logits would wait
        return outcome


class TimedSampler:
    """Says how long another one takes."""

    def __init__(self, sampler: TokenSampler, times: EngineTimes) -> None:
        self._sampler = sampler
        self._times = times
        self.forced, self.force = sampler.forced, sampler.force

    @property
    def matcher(self) -> Constraining | None:
        return self._sampler.matcher

    def sample(self, logits: Floats) -> int:
        with counted(self._times, "sampling_s"):
            return self._sampler.sample(logits)


# ---- in the engine -------------------------------------------------------------------------------------------------


def load_engine(case: Case, model: Path) -> Service:
    """As a runner does, but for the class of the context."""
    config = RunnerConfig(
        str(model),
        n_ctx=case.n_ctx,
        n_parallel=case.slots,
        n_batch=N_BATCH,
        n_gpu_layers=case.loading.n_gpu_layers,
        n_threads=case.n_threads or 0,
        prompt_cache_bytes=PROMPT_CACHE_BYTES,
    )
    usual = vars(loading)["Context"]
    vars(loading)["Context"] = TimedContext
    try:
        _, service, _ = loading.load(config, lambda fraction: True)
    finally:
        vars(loading)["Context"] = usual
    return service


def run_burst(service: Service, case: Case, number: int) -> EngineTimes:
    times = TimedContext.times = EngineTimes()
    for request_id, ask in enumerate(asks(case, number)):
        task = run_through(service.prepare(to_request(ask, request_id)))
        service.submit(replace(task, sampler=TimedSampler(task.sampler, times)))
    with counted(times, "total_s"):
        while service.has_work:
            times.n_steps += 1
            for event in service.step():
                if isinstance(event, Finished):
                    times.n_tokens += event.n_generated
                assert not isinstance(event, Failed), event
    return times


def to_request(ask: Ask, request_id: int) -> Generate:
    sampling = Sampling(
        temperature=ask.sampling["temperature"],
        top_k=int(ask.sampling["top_k"]),
        top_p=ask.sampling["top_p"],
        min_p=ask.sampling["min_p"],
        seed=ask.seed,
    )
    constraint = Constraint("json_schema", json.dumps(SCHEMA)) if ask.has_schema else None
    return Generate(request_id, ask.prompt, sampling, n_predict=ask.n_predict, constraint=constraint)


# ---- over HTTP -----------------------------------------------------------------------------------------------------


def measure_processes(puna: Puna, case: Case, number: int) -> ProcessTimes:
    bodies = [puna.body(ask) for ask in asks(case, number)]
    before = _threads_s(puna)
    exchanges = asyncio.run(post_all(puna.process.url, puna.path, bodies))
    server_s, messages_s, computing_s = (b - a for a, b in zip(before, _threads_s(puna), strict=True))
    n_tokens = sum(puna.usage(exchange).n_predicted for exchange in exchanges)
    duration_s = max(exchange.last_byte_s for exchange in exchanges)
    return ProcessTimes(server_s, messages_s, computing_s, duration_s, n_tokens)


def _threads_s(puna: Puna) -> tuple[float, float, float]:
    """Processor seconds so far, as ProcessTimes has them; a thread's id is its process's if it is the first."""
    server, runner = _spent_s(puna.process.pid), _spent_s(puna.compute_pid)
    first_s = runner.pop(puna.compute_pid, 0.0)
    return sum(server.values()), first_s, sum(runner.values())


def _spent_s(pid: int) -> dict[int, float]:
    """Processor seconds of a process's threads: to the nanosecond where Linux tells, else in hundredths."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}
    except OSError:
        return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}


def profile(case: Case, n_rounds: int) -> Profile:
    model = random_model.make(case.shape, WORK / "models")
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        puna = Puna(Path(folder), model, case.loading)
        try:
            asyncio.run(run_round(puna, case, 0))  # there is no runner before the first request
            processes = [measure_processes(puna, case, number + 1) for number in range(n_rounds)]
        finally:
            puna.process.stop()
    service = load_engine(case, model)
    engine = [run_burst(service, case, number) for number in range(n_rounds + 1)][1:]
    return Profile(engine, processes)


# ---- what is printed, and kept -------------------------------------------------------------------------------------


def engine_table(rounds: Sequence[EngineTimes]) -> str:
    n_steps, n_tokens = _median(rounds, "n_steps"), _median(rounds, "n_tokens")
    total_s = _median(rounds, "total_s")
    lines = [f"in the engine, {n_steps:.0f} steps, {n_tokens:.0f} tokens        s    share   ms a step   µs a token"]
    parts = {"llama_decode, prompts": "prompts_s", "llama_decode, decoding": "decoding_s", "sampling": "sampling_s"}
    for label, name in {**parts, "the rest": "rest_s", "all": "total_s"}.items():
        s = _median(rounds, name)
        figures = f"{s:9.3f} {s / total_s:8.1%} {s / n_steps * 1e3:11.2f} {s / n_tokens * 1e6:12.1f}"
        lines.append(f"  {label:{len(lines[0]) - 46}}{figures}")
    return "\n".join(lines)


def process_table(rounds: Sequence[ProcessTimes]) -> str:
    speed = statistics.median(times.n_tokens / times.duration_s for times in rounds)
    lines = [f"over HTTP, {speed:,.1f} tokens/s: processor time, µs a token"]
    labels = {"server_s": "server", "messages_s": "runner, messages", "computing_s": "runner, engine and llama.cpp"}
    for name, label in labels.items():
        per_token = statistics.median(getattr(times, name) / times.n_tokens for times in rounds)
        lines.append(f"  {label:30} {per_token * 1e6:10.1f}")
    return "\n".join(lines)


def describe(case: Case, found: Profile) -> dict[str, object]:
    """The record of a profile."""
    own = {"machine": machine.describe_machine(), "puna": machine.describe_puna()}
    return own | {"profile": case.name, "asked": report.asked(case), **asdict(found)}


def _median(rounds: Sequence[EngineTimes], name: str) -> float:
    return float(statistics.median(getattr(times, name) for times in rounds))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=BURSTS, metavar="case", help=", ".join(BURSTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true", help="the case's version for GPUs")
    parser.add_argument("--quick", action="store_true", help="small versions of the cases, to see that they work")
    parser.add_argument(
        "--results", type=Path, help="folder for what is kept (default: bench/results, not with --quick)"
    )
    args = parser.parse_args(argv)
    if args.gpu and not args.quick:
        machine.require_gpu()
    table = GPU_CASES if args.gpu else CASES
    if args.case not in table:
        parser.error(f"{args.case} is measured {'without' if args.gpu else 'with'} --gpu only")
    case = table[args.case].quick() if args.quick else table[args.case]
    found = profile(case, args.rounds)
    print(f"{engine_table(found.engine)}\n\n{process_table(found.processes)}")
    folder = args.results or (None if args.quick else RESULTS)
    if folder:
        print(f"kept in {report.write(folder, describe(case, found))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
