"""Measure Puna against llama-server.

    python -m bench                         every case, and the start-up
    python -m bench one-stream --rounds 9   some of them
    python -m bench --gpu                   with a model of 8B on a GPU
    python -m bench --peer-flags same       the peer compiled like Puna's llama.cpp (built once, like the other)

The rounds of the two servers alternate, each case is preceded by one round that does not count, and the ratio is taken
pair by pair: what disturbs the machine for longer than a round disturbs both. Exit status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil

from bench import machine, peer, random_model, report
from bench.cases import CASES, GPU_CASES, Against, Case
from bench.peer import WORK, Flags
from bench.report import Round
from bench.servers import Contender, LlamaServer, Puna
from bench.startup import GOAL_MB, GOAL_S, measure_startup
from bench.workloads import run_round

RESULTS = Path(__file__).parent / "results"
STARTUP = "startup"
BUSY_PERCENT = 10.0


def run_case(case: Case, n_rounds: int, folder: Path, peer_server: Path | None) -> list[tuple[Round, Round]]:
    """`peer_server`: llama-server, for a case that is measured against it."""
    model = random_model.make(case.shape, WORK / "models")
    with ExitStack() as running:
        puna: Contender = Puna(folder / case.name / "puna", model, case.loading)
        running.callback(puna.process.stop)
        if case.against is Against.PEER:
            assert peer_server is not None, "the peer is built when a case needs it"
            other: Contender = LlamaServer(folder / case.name / "llama-server", model, case.loading, peer_server)
            running.callback(other.process.stop)
            others_case, others_offset = case, 0
        else:
            other, others_case, others_offset = puna, replace(case, has_schema=False), n_rounds + 1  # other prompts
        pairs = []
        for number in range(n_rounds + 1):
            ours = asyncio.run(run_round(puna, case, number))
            theirs = asyncio.run(run_round(other, others_case, number + others_offset))
            pairs.append((ours, theirs))
    return pairs[1:]


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="case", help=f"{', '.join((STARTUP, *CASES))} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each case (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small versions of the cases, to see that they work")
    parser.add_argument("--gpu", action="store_true", help=f"on a GPU: {', '.join(GPU_CASES)}")
    parser.add_argument(
        "--peer-flags",
        choices=[flags.value for flags in Flags],
        help="how the peer is compiled: as its authors do, or with Puna's flags (default: own)",
    )
    parser.add_argument(
        "--results", type=Path, help="folder for what is kept (default: bench/results, not with --quick)"
    )
    args = parser.parse_args(argv)
    names = (STARTUP, *(GPU_CASES if args.gpu else CASES))
    for name in args.cases:
        if name not in names:
            parser.error(f"there is no {name}; choose from {', '.join(names)}")
    args.cases = args.cases or names
    return args


def warn_when_busy() -> None:
    """Both servers spin on every core: with another program on one of them, a run is several times slower."""
    busy = psutil.cpu_percent(interval=1.0)
    if busy > BUSY_PERCENT:
        print(
            f"warning: other programs use {busy:.0f} % of this machine; the figures will mean little", file=sys.stderr
        )


def describe(args: argparse.Namespace, peer_server: Path | None) -> dict[str, object]:
    """What is measured, for the record: later the checkout may be another."""
    run: dict[str, object] = {"rounds": args.rounds, "is_quick": args.quick, "on_gpu": args.gpu}
    own = {"machine": machine.describe_machine(), "puna": machine.describe_puna()}
    return run | own | {"peer": peer_server and peer.describe(peer_server)}


def main(argv: list[str]) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    if args.gpu and not args.quick:
        machine.require_gpu()
    table = GPU_CASES if args.gpu else CASES
    cases = [table[name].quick() if args.quick else table[name] for name in args.cases if name != STARTUP]
    needs_peer = any(case.against is Against.PEER for case in cases)
    on_gpu = args.gpu and machine.ask_native().has_gpu
    flags = Flags(args.peer_flags) if args.peer_flags else None
    peer_server = peer.find_or_build(flags, on_gpu=on_gpu) if needs_peer else None
    measured = describe(args, peer_server)
    warn_when_busy()
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as scratch:
        place = Path(scratch)
        startup = measure_startup(place, args.rounds) if STARTUP in args.cases else None
        if startup:
            print(report.startup_line(startup), flush=True)
        rounds = {}
        for case in cases:
            print(f"{case.name} …", file=sys.stderr, flush=True)
            rounds[case.name] = run_case(case, args.rounds, place, peer_server)
    verdicts = [report.judge(case, rounds[case.name]) for case in cases]
    if verdicts:
        print(report.table(verdicts))
    folder = args.results or (None if args.quick else RESULTS)
    if folder:
        print(f"kept in {report.keep(folder, measured, verdicts, rounds, startup)}")
    light = startup is None or (startup.first_answer_s < GOAL_S and startup.idle_mb < GOAL_MB)
    return 0 if light and all(verdict.is_reached for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
