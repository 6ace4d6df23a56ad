"""How many sequences a model gets, and their room, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.gguf.facts import GGUFFacts
from models.gguf.layers import LayerFacts
from models.memory import SequenceCost
from models.runner.settings import RunnerConfig
from server.placement import Device, Devices, Room
from server.sequences import Sequences, SequencesWanted, asked_sequences, choose_sequences

MIB, GIB = 1024**2, 1024**3
EIGHT_B = SequenceCost(n_ctx=4096, one_bytes=round(5.5 * GIB), own_bytes=MIB, context_bytes=512 * MIB)
SMALL = SequenceCost(n_ctx=4096, one_bytes=300 * MIB, own_bytes=MIB, context_bytes=94 * MIB)
TINY = SequenceCost(n_ctx=2048, one_bytes=8 * MIB, own_bytes=0, context_bytes=MIB)
WINDOWED = SequenceCost(n_ctx=4096, one_bytes=4 * GIB, own_bytes=180 * MIB, context_bytes=80 * MIB)
RECURRENT = SequenceCost(n_ctx=4096, one_bytes=3 * GIB, own_bytes=25 * MIB, context_bytes=0)


def room(total_gib: float, free_gib: float | None = None) -> Room:
    return Room(round(total_gib * GIB), round((total_gib if free_gib is None else free_gib) * GIB))


@pytest.mark.parametrize(
    ("cost", "memory", "n_parallel", "n_cells"),
    [
        pytest.param(SMALL, room(16), 4, 4 * 4096, id="usual: four, each with a whole context"),
        pytest.param(SMALL, room(999), 4, 4 * 4096, id="more would be felt when it is loaded: still four"),
        pytest.param(replace(SMALL, n_ctx=1024, context_bytes=24 * MIB), room(32), 4, 4 * 1024, id="also here"),
        pytest.param(replace(SMALL, n_ctx=1024, context_bytes=24 * MIB), room(64), 8, 8 * 1024, id="but not here"),
        pytest.param(TINY, room(2), 8, 8 * 2048, id="a tiny model: eight on any machine"),
        pytest.param(TINY, room(2, 0.012), 3, 3 * 2048, id="a tiny model on a full machine"),
        pytest.param(EIGHT_B, room(64), 4, 4 * 4096, id="a large model on a large machine"),
        pytest.param(EIGHT_B, room(16), 4, 4096 + 6400, id="a part of the memory: four share it"),
        pytest.param(EIGHT_B, room(8), 3, 4096 + 3072, id="a small machine: as many as have useful room"),
        pytest.param(EIGHT_B, room(6), 2, 4096 + 1792, id="hardly anything left: two share it"),
        pytest.param(EIGHT_B, room(5.5), 1, 4096, id="nothing left: one, with its whole context"),
        pytest.param(EIGHT_B, room(4), 1, 4096, id="less than nothing left"),
        pytest.param(EIGHT_B, room(64, 5.5), 1, 4096, id="all of it in use by others"),
        pytest.param(EIGHT_B, room(64, 6.5), 3, 4096 + 3840, id="most of it in use: half of what is left"),
        pytest.param(WINDOWED, room(16), 4, 4 * 4096, id="windows are paid for, too"),
        pytest.param(WINDOWED, room(8), 3, 4096 + 2304, id="windows come first, the rest is for cells"),
        pytest.param(WINDOWED, room(4.2), 1, 4096, id="no window fits"),
        pytest.param(RECURRENT, room(16), 4, 4 * 4096, id="states have no cells"),
        pytest.param(RECURRENT, room(64), 8, 8 * 4096, id="and take little"),
        pytest.param(RECURRENT, room(3.1), 3, 3 * 4096, id="but something"),
        pytest.param(replace(EIGHT_B, n_ctx=131072, context_bytes=16 * GIB, one_bytes=21 * GIB), room(80), 4,
                     131072 + 32512, id="a long context has room for short chats beside it"),
        pytest.param(replace(SMALL, n_ctx=100, context_bytes=6 * MIB), room(16), 8, 8 * 256, id="short contexts"),
    ],
)  # fmt: skip
def test_the_number_is_chosen_from_memory(cost: SequenceCost, memory: Room, n_parallel: int, n_cells: int) -> None:
    assert choose_sequences(cost, memory) == Sequences(n_parallel, n_cells)


@pytest.mark.parametrize("cost", [EIGHT_B, SMALL, TINY, WINDOWED, RECURRENT])
def test_more_memory_never_means_fewer_and_little_of_it_is_taken(cost: SequenceCost) -> None:
    before = 0
    for tenth_gib in range(10, 2000, 7):
        memory = room(tenth_gib / 10)
        chosen = choose_sequences(cost, memory)
        assert chosen.n_parallel >= max(before, 1)
        assert chosen.n_cells >= cost.n_ctx, "one has its whole context"
        further = chosen.n_parallel - 1
        taken = further * cost.own_bytes + cost.context_bytes * (chosen.n_cells - cost.n_ctx) // cost.n_ctx
        assert taken <= memory.total_bytes / 20
        assert taken <= max(0, memory.total_bytes - cost.one_bytes) / 2
        before = chosen.n_parallel
    assert before >= 4


@pytest.mark.parametrize(
    ("n_parallel", "cost", "memory", "n_cells"),
    [
        pytest.param(1, EIGHT_B, room(64), 4096, id="a single one"),
        pytest.param(6, EIGHT_B, room(64), 6 * 4096, id="whole contexts"),
        pytest.param(8, EIGHT_B, room(16), 4096 + 26112, id="a larger part of the memory than by itself"),
        pytest.param(8, EIGHT_B, room(16, 6.5), 4096 + 6400, id="but no more than there is"),
        pytest.param(8, EIGHT_B, room(4), 4096, id="nothing left: all share one context"),
        pytest.param(100, RECURRENT, room(3.1), 100 * 4096, id="the number is what was asked for"),
        pytest.param(2, replace(SMALL, n_ctx=1000), room(16), 2 * 1024, id="contexts are rounded up"),
    ],
)
def test_a_number_that_was_asked_for_stands(n_parallel: int, cost: SequenceCost, memory: Room, n_cells: int) -> None:
    assert asked_sequences(n_parallel, cost, memory) == Sequences(n_parallel, n_cells)


@pytest.mark.parametrize(
    ("machine", "n_gpu_layers", "memory"),
    [
        (Devices(3 * GIB, 8 * GIB), -1, room(8, 3)),
        (Devices(3 * GIB), -1, room(3)),
        (Devices(3 * GIB, 8 * GIB, (Device(0, 24 * GIB, 20 * GIB), Device(1, 8 * GIB, GIB))), -1, room(32, 21)),
        (Devices(3 * GIB, 8 * GIB, (Device(0, 24 * GIB, 20 * GIB),)), 0, room(8, 3)),
    ],
    ids=["no GPU that is known", "nobody knows the total", "GPUs", "GPUs that are not to be used"],
)
def test_caches_lie_where_the_layers_do(machine: Devices, n_gpu_layers: int, memory: Room) -> None:
    assert machine.room(n_gpu_layers) == memory


FACTS = GGUFFacts(n_ctx_train=4096, n_vocab=1000, layers=(LayerFacts(weights_bytes=MIB, kv_elements=512),) * 10)
CONFIG = RunnerConfig(model_path="m", n_ctx=2000, n_parallel=1, n_batch=512, n_gpu_layers=-1, n_threads=0, n_cells=2048)


@pytest.mark.parametrize(
    ("asked", "free_gib", "least", "most"),
    [
        pytest.param(None, 16, (1, 2048), (8, 8 * 2048), id="nobody said"),
        pytest.param(None, 0.001, (1, 2048), (1, 2048), id="nobody said, nothing free"),
        pytest.param(3, 16, (3, 2048), (3, 3 * 2048), id="three"),
        pytest.param(3, 0.001, (3, 2048), (3, 2048), id="three, nothing free"),
        pytest.param(1, 16, (1, 2048), (1, 2048), id="one"),
    ],
)
def test_a_model_is_loaded_with_what_memory_holds(
    asked: int | None, free_gib: float, least: tuple[int, int], most: tuple[int, int]
) -> None:
    wanted = SequencesWanted(FACTS, asked)
    loaded = wanted.most(wanted.least(CONFIG), room(64, free_gib))
    assert (wanted.least(CONFIG).n_parallel, wanted.least(CONFIG).n_cells) == least
    assert (loaded.n_parallel, loaded.n_cells) == most
