"""What llama.cpp's own part of the work takes: the tables of docs/benchmarks.md that no server is needed for.

    python -m bench.steps flags                          how it is compiled: steps of 1 to 32 sequences, eight models
    python -m bench.steps flags --against FOLDER         the same with another build's libraries beside it
    python -m bench.steps choices                        what the engine's choices rest on, with the small model
    python -m bench.steps flags smol-135m.Q4_0 my.gguf   other models: SHAPE.TYPE, made when needed, or files

Each figure is measured by a process of its own; medians, in ms unless said otherwise. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine, random_model
from bench.machine import ROOT
from bench.peer import WORK

FLAGS_MODELS = (
    "smol-135m.Q8_0", "smol-135m.Q4_0", "smol-135m.F16",
    "llama-1b.Q8_0", "llama-1b.Q4_K_M", "llama-1b.Q6_K", "llama-1b.IQ4_XS", "llama-1b.BF16",
)  # fmt: skip
CHOICES_MODEL = "smol-135m.Q8_0"
EMBED_MODEL = "embed-135m.Q8_0"
LIBRARIES = "LLAMA_CPP_LIB_PATH"
"""The binding loads llama.cpp from the folder that this names instead of its own."""


@dataclass(frozen=True)
class Sizes:
    """What is measured. Counts of tokens, but for `sequences` and `repeats`."""

    repeats: int = 20
    sequences: tuple[int, ...] = (1, 2, 4, 8, 32)
    n_before: int = 64
    """What each sequence has when its steps are measured."""
    n_prompt: int = 1024
    chunks: tuple[int, ...] = (32, 64, 128, 256, 512)
    n_common: int = 1000
    n_sharing: int = 8
    n_long: int = 4000
    tails: tuple[int, ...] = (16, 63, 64, 128)
    n_copied: int = 256
    n_inputs: int = 64
    n_input: int = 32
    embedded: tuple[int, ...] = (2048, 512, 128)


QUICK = Sizes(2, (1, 2), 8, 64, (16, 32), 40, 2, 100, (4, 8), 16, 4, 8, (32, 16))
"""To see that it works."""

Figures = dict[str, float]
"""What was measured → seconds."""


@dataclass(frozen=True)
class Run:
    """How figures are measured."""

    is_quick: bool
    on_gpu: bool

    def measure(self, kind: str, model: Path, libraries: Path | None = None) -> Figures:
        """In another process, perhaps with another build of llama.cpp. Raises: CalledProcessError."""
        command = [sys.executable, "-m", "bench.decodes", kind, str(model)]
        command += ["--quick"] * self.is_quick + ["--gpu"] * self.on_gpu
        env = dict(os.environ) | ({LIBRARIES: str(libraries.resolve())} if libraries else {})
        answer = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
        figures: Figures = json.loads(answer)
        return figures


def find_model(name: str) -> Path:
    """A file, or a model with random weights. Raises: SystemExit."""
    if Path(name).exists():
        return Path(name).resolve()
    shape = random_model.find_shape(name)
    if shape is None:
        raise SystemExit(f"{name} is neither a file nor a shape and a type, such as {CHOICES_MODEL}")
    return random_model.make(shape, WORK / "models")


def flags_table(run: Run, models: Sequence[str], against: Path | None) -> str:
    """Steps by number of sequences and model; beside another build's: its figure, then that of the installed one."""
    found = []
    for name in models:
        model = find_model(name)
        builds = [against, None] if against else [None]
        found.append([run.measure("decoding", model, build) for build in builds])
    rows = [("sequences", *(Path(name).name for name in models)), ("---",) * (len(models) + 1)]
    for n in found[0][0]:
        rows.append((n, *(" · ".join(_ms(figures[n]) for figures in of_model) for of_model in found)))
    return _markdown(rows)


def choices_table(run: Run, model_name: str, embed_name: str, sizes: Sizes) -> str:
    model = find_model(model_name)
    layouts, prompts, tails = (run.measure(kind, model) for kind in ("layouts", "prompts", "tails"))
    copies, embedded = run.measure("copies", model), run.measure("embeddings", find_model(embed_name))
    rows = [("", ""), ("---", "---")]
    n, both = max(sizes.sequences), "shared cells; their own"
    for kind, what in (
        ("few", f"one step of {n} sequences of {sizes.n_before} tokens"),
        ("many", f"one step of {n} sequences of {sizes.n_common:,} tokens"),
        ("beside", f"{sizes.n_common:,} prompt tokens of one, when the others have as many"),
        ("common", f"one step of {sizes.n_sharing} sequences with {sizes.n_common:,} tokens in common"),
    ):
        rows.append((f"{what}: {both}", f"{_ms(layouts[f'{kind} shared'])} ms; {_ms(layouts[f'{kind} own'])} ms"))
    rows.append((
        f"{sizes.n_prompt:,} prompt tokens in steps of {_listed(sizes.chunks)}",
        " · ".join(f"{prompts[str(n)]:.3g}" for n in sizes.chunks) + " s",
    ))  # fmt: skip
    for n_before in (sizes.n_common, sizes.n_long):
        took = " · ".join(_ms(tails[f"{n} after {n_before}"]) for n in sizes.tails)
        rows.append((f"{_listed(sizes.tails)} tokens, {n_before:,} before them", f"{took} ms"))
    rows.append((
        f"copying the state of {sizes.n_copied} tokens ({copies['bytes'] / 1e6:.1f} MB) to host memory; back",
        f"{_ms(copies['there'])} ms; {_ms(copies['back'])} ms",
    ))  # fmt: skip
    rows.append((
        f"embedding {sizes.n_inputs} inputs of {sizes.n_input} tokens in steps of {_listed(sizes.embedded)} tokens",
        " · ".join(f"{embedded[str(n)]:.3g}" for n in sizes.embedded) + " s",
    ))  # fmt: skip
    return _markdown(rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def _listed(numbers: Sequence[int]) -> str:
    return " · ".join(f"{n:,}" for n in numbers)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.steps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("flags", "choices"))
    parser.add_argument("models", nargs="*", help="SHAPE.TYPE or a file (choices: one, then one for embeddings)")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="with another build's libllama and libggml")
    parser.add_argument("--gpu", action="store_true", help="all layers on the GPU")
    parser.add_argument("--quick", action="store_true", help="small measurements, to see that they work")
    args = parser.parse_intermixed_args(argv)
    if args.table == "choices" and len(args.models) > 2:
        parser.error("choices are measured with one model, and one for embeddings")
    if args.table == "choices" and args.against:
        parser.error("only flags are measured against another build")
    return args


def main(argv: Sequence[str]) -> int:
    args = parse_arguments(argv)
    sizes = QUICK if args.quick else Sizes()
    if args.gpu and not args.quick:
        machine.require_gpu()
    run = Run(args.quick, args.gpu)
    if args.table == "flags":
        print(flags_table(run, args.models or FLAGS_MODELS, args.against))
    else:
        asked: list[str] = args.models
        model, embed_model = [*asked, *[CHOICES_MODEL, EMBED_MODEL][len(asked) :]]
        print(choices_table(run, model, embed_model, sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
