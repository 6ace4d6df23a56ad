"""Measure Puna against llama-server.

    python -m bench                         every case, and the start-up
    python -m bench one-stream --rounds 9   some of them

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

from bench import random_model, report
from bench.cases import CASES, Against, Case, Work
from bench.peer import WORK
from bench.report import Round
from bench.servers import Contender, LlamaServer, Puna
from bench.startup import GOAL_MB, GOAL_S, measure_startup
from bench.workloads import run_round

RESULTS = Path(__file__).parent / "results"
STARTUP = "startup"
NAMES = (STARTUP, *CASES)
BUSY_PERCENT = 10.0


def run_case(case: Case, n_rounds: int, folder: Path) -> list[tuple[Round, Round]]:
    model = random_model.make(case.shape, WORK / "models")
    with ExitStack() as running:

        def start(kind: type[Puna | LlamaServer]) -> Contender:
            place = folder / case.name / kind.name
            embeds = case.work is Work.EMBED
            server = kind(
                place, model, n_parallel=case.slots, n_ctx=case.n_ctx, n_threads=case.n_threads, embeds=embeds
            )
            running.callback(server.process.stop)
            return server

        puna = start(Puna)
        if case.against is Against.PEER:
            other, others_case, others_offset = start(LlamaServer), case, 0
        else:
            other, others_case, others_offset = puna, replace(case, has_schema=False), n_rounds + 1  # other prompts
        pairs = []
        for number in range(n_rounds + 1):
            ours = asyncio.run(run_round(puna, case, number))
            theirs = asyncio.run(run_round(other, others_case, number + others_offset))
            pairs.append((ours, theirs))
    return pairs[1:]


def known(name: str) -> str:
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"there is no {name}; choose from {', '.join(NAMES)}")
    return name


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", type=known, metavar="case", help=f"{', '.join(NAMES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each case (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small versions of the cases, to see that they work")
    return parser.parse_args(argv)


def warn_when_busy() -> None:
    """Both servers spin on every core: with another program on one of them, a run is several times slower."""
    busy = psutil.cpu_percent(interval=1.0)
    if busy > BUSY_PERCENT:
        print(
            f"warning: other programs use {busy:.0f} % of this machine; the figures will mean little", file=sys.stderr
        )


def main(argv: list[str]) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    warn_when_busy()
    chosen = args.cases or NAMES
    cases = [CASES[name].quick() if args.quick else CASES[name] for name in chosen if name != STARTUP]
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as scratch:
        folder = Path(scratch)
        startup = measure_startup(folder, args.rounds) if STARTUP in chosen else None
        if startup:
            print(report.startup_line(startup), flush=True)
        rounds = {}
        for case in cases:
            print(f"{case.name} …", file=sys.stderr, flush=True)
            rounds[case.name] = run_case(case, args.rounds, folder)
    verdicts = [report.judge(case, rounds[case.name]) for case in cases]
    if verdicts:
        print(report.table(verdicts))
    if not args.quick:
        print(f"kept in {report.keep(RESULTS, verdicts, rounds, startup).relative_to(RESULTS.parent.parent)}")
    light = startup is None or (startup.first_answer_s < GOAL_S and startup.idle_mb < GOAL_MB)
    return 0 if light and all(verdict.is_reached for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
