"""A model without weights: a byte tokenizer, and a context whose logits follow from the tokens it really holds.

The memory is made of cells that sequences share, as in llama.cpp: what is dropped, moved or missing changes the reply,
so an engine that mixes up its state says the wrong thing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ContextLost, LoadError
from models.llama.outcome import Outcome
from models.runner.settings import AdapterSet
from models.sampling.backend import BackendChain

Tokens = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Blob = npt.NDArray[np.uint8]

END, BOS, CALL = 256, 257, 258
N_VOCAB = 272
SPELLED = {"<end>": END, "<bos>": BOS, "<call>": CALL}

Model = Callable[[tuple[int, ...]], int]
"""The most likely next token after these tokens."""


class ByteVocabulary:
    """One token for each byte, and three control tokens."""

    n_tokens = N_VOCAB
    end_tokens = frozenset({END})
    eos = END
    bos = BOS

    def __init__(self, *, adds_bos: bool = False, suppressed: Iterable[int] = ()) -> None:
        self.adds_bos = adds_bos
        self.suppressed = np.array(list(suppressed), dtype=np.int32)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> Tokens:
        tokens = [BOS] if add_special and self.adds_bos else []
        while text:
            spelled = next((name for name in SPELLED if parse_special and text.startswith(name)), None)
            tokens += [SPELLED[spelled]] if spelled else text[0].encode()
            text = text[len(spelled) if spelled else 1 :]
        return np.array(tokens, dtype=np.int32)

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""

    def raw_piece(self, token: int) -> bytes:
        return next((name.encode() for name, known in SPELLED.items() if known == token), self.piece(token))

    def is_special(self, token: int) -> bool:
        return token >= 256

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        return b"".join(map(self.raw_piece, tokens))


# ---- models --------------------------------------------------------------------------------------------------------


def says(reply: bytes | str) -> Model:
    """After the prompt's last `:` comes this reply, then the end."""
    pieces = reply.encode() if isinstance(reply, str) else reply

    def next_token(tokens: tuple[int, ...]) -> int:
        said = len(tokens) - 1 - max(i for i, token in enumerate(tokens) if token == ord(":"))
        return pieces[said] if said < len(pieces) else END

    return next_token


def counts(tokens: tuple[int, ...]) -> int:
    """The letter after the last one, from a to z and over again; never ends."""
    return ord("a") + (tokens[-1] - ord("a") + 1) % 26


def hashes(tokens: tuple[int, ...]) -> int:
    """A letter that depends on every token before it."""
    return ord("a") + zlib.crc32(bytes(token % 256 for token in tokens)) % 26


# ---- context -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Cell:
    token: int
    position: int
    sequences: set[int]
    computed_with: int = 0


class FakeBatch:
    def __init__(self, n_batch: int) -> None:
        self.n_batch = n_batch
        self.parts: list[tuple[int, tuple[int, ...], int, bool]] = []
        self.scored: set[int] = set()
        """Sequences of which the logits of every token are wanted."""

    def clear(self) -> None:
        self.parts = []
        self.scored = set()

    def add(self, seq_id: int, tokens: Tokens, position: int, *, output: bool, every: bool = False) -> None:
        self.parts.append((seq_id, tuple(int(token) for token in tokens), position, output))
        if every:
            self.scored.add(seq_id)
        assert sum(len(tokens) for _, tokens, _, _ in self.parts) <= self.n_batch


@dataclass
class FakeContext:
    """`n_swa`: only so many last tokens are kept and matter. `can_trim` False: a recurrent memory."""

    model: Model
    n_cells: int = 4096
    n_batch: int = 64
    can_shift: bool = True
    can_trim: bool = True
    n_swa: int = 0
    n_seq_max: int = 0
    n_scored: int = 8
    shares_cells: bool = True
    """Otherwise `n_cells` are those of one sequence, and a prefix must be copied."""
    n_saved: int = 0
    n_restored: int = 0
    is_closed: bool = False
    steps: list[dict[int, int]] = field(default_factory=list)
    """What was computed: for each decode, tokens by sequence."""
    failures: list[Outcome | ContextLost] = field(default_factory=list)
    """What the next decodes end with, instead of computing."""
    n_rebuilt: int = 0
    bad_logits: set[int] = field(default_factory=set)
    """Sequences whose logits are not numbers."""
    adapters: AdapterSet = ()
    """They shift what the model says by as many letters as their scales add up to."""
    n_switches: int = 0
    chains: dict[int, BackendChain] = field(default_factory=dict)
    """Of the sequences whose tokens it picks itself: the most likely ones."""
    broken: set[str] = field(default_factory=set)
    """Adapters that cannot be loaded, by path."""

    def __post_init__(self) -> None:
        self.batch = FakeBatch(self.n_batch)
        self.cells: list[Cell] = []
        self._rows: list[tuple[int, Floats]] = []

    def use_adapters(self, adapters: AdapterSet) -> None:
        for adapter in adapters:
            if adapter.path in self.broken:
                raise LoadError(f"unable to load adapter {adapter.path}")
        self.n_switches += adapters != self.adapters
        self.adapters = adapters

    def decode(self) -> Outcome:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, ContextLost):
                raise failure
            return failure
        if not self.shares_cells:
            ids = [seq_id for seq_id, _, _, _ in self.batch.parts]
            assert ids == sorted(ids), "llama.cpp takes those together whose ids follow each other"
        if any(not self._has_room(seq_id, len(tokens)) for seq_id, tokens, _, _ in self.batch.parts):
            return Outcome.NO_ROOM
        if self.shares_cells and not self._has_room(0, sum(len(tokens) for _, tokens, _, _ in self.batch.parts)):
            return Outcome.NO_ROOM
        self._rows = []
        self.steps.append({seq_id: len(tokens) for seq_id, tokens, _, _ in self.batch.parts})
        for seq_id, tokens, position, output in self.batch.parts:
            assert position == self.span(seq_id)[1] + 1, "a sequence goes on where it ended"
            for i, token in enumerate(tokens):
                self.cells.append(Cell(token, position + i, {seq_id}, _mark(self.adapters)))
                if output and (i == len(tokens) - 1 or seq_id in self.batch.scored):
                    self._rows.append((seq_id, self._logits_of(seq_id)))
            self._forget_old(seq_id)
        assert len(self._rows) <= len(self.batch.parts) + self.n_scored, "more logits than there is room for"
        return Outcome.DONE

    def decode_media(self, seq_id: int, media: Any, position: int) -> Outcome:
        """An image takes a cell for each position; its mark stands for what it shows."""
        if not self._has_room(seq_id, media.n_positions):
            return Outcome.NO_ROOM
        assert position == self.span(seq_id)[1] + 1, "a sequence goes on where it ended"
        self.steps.append({seq_id: media.n_positions})
        self.cells += [Cell(media.mark, position + i, {seq_id}, _mark(self.adapters)) for i in range(media.n_positions)]
        return Outcome.DONE

    def logits(self) -> Floats:
        rows = [row * np.nan if seq_id in self.chains else row for seq_id, row in self._rows]
        return np.array(rows, dtype=np.float32)

    def pick_by(self, seq_id: int, chain: BackendChain | None) -> None:
        if chain is None:
            self.chains.pop(seq_id, None)
        else:
            self.chains[seq_id] = chain

    def picked(self, row: int) -> int | None:
        seq_id, logits = self._rows[row]
        assert seq_id in self.chains, "a sequence without a chain has logits only"
        best = int(logits.argmax())
        return None if np.isnan(logits[best]) else best

    def rebuild(self) -> None:
        self.cells = []
        self.adapters = ()
        self.n_rebuilt += 1

    def remove(self, seq_id: int, start: int) -> bool:
        return self.remove_range(seq_id, start, 2**31)

    def remove_range(self, seq_id: int, start: int, end: int) -> bool:
        going = [cell for cell in self._of(seq_id) if start <= cell.position < end]
        if going and not self.can_trim:
            return False
        self._leave(going, seq_id)
        return True

    def forget(self, seq_id: int) -> None:
        self._leave(self._of(seq_id), seq_id)

    def copy(self, source: int, target: int) -> None:
        assert self.shares_cells and not self._of(target), "copies go into an empty sequence"
        for cell in self._of(source):
            cell.sequences.add(target)

    def move(self, seq_id: int, start: int, end: int, delta: int) -> None:
        for cell in self._of(seq_id):
            if start <= cell.position < end:
                cell.position += delta

    def span(self, seq_id: int) -> tuple[int, int]:
        positions = [cell.position for cell in self._of(seq_id)]
        if not positions:
            return -1, -1
        return (min(positions) if self.can_trim else max(positions)), max(positions)

    def state_size(self, seq_id: int) -> int:
        return 12 * len(self._of(seq_id))

    def save(self, seq_id: int) -> Blob | None:
        self.n_saved += 1
        rows = [(cell.token, cell.position, cell.computed_with) for cell in self._of(seq_id)]
        if self.n_swa:  # cells behind the window are not copied
            rows = rows[-self.n_swa :]
        return np.array(rows, dtype=np.int32).view(np.uint8).reshape(-1)

    def restore(self, seq_id: int, blob: Blob) -> bool:
        self.forget(seq_id)
        rows = blob.view(np.int32).reshape(-1, 3)
        if not self._has_room(seq_id, len(rows)):
            return False
        self.n_restored += 1
        self.cells += [Cell(int(token), int(position), {seq_id}, int(mark)) for token, position, mark in rows]
        return True

    def close(self) -> None:
        self.is_closed = True

    def tokens_of(self, seq_id: int) -> tuple[int, ...]:
        """What a sequence's state stands for; every position must be there once."""
        cells = sorted(self._of(seq_id), key=lambda cell: cell.position)
        positions = [cell.position for cell in cells]
        assert positions == list(range(positions[0], positions[0] + len(positions))), f"a gap in {positions}"
        return tuple(cell.token for cell in cells)

    def _has_room(self, seq_id: int, n: int) -> bool:
        cells = self.cells if self.shares_cells else self._of(seq_id)
        return len(cells) + n <= self.n_cells

    def _logits_of(self, seq_id: int) -> Floats:
        tokens = self.tokens_of(seq_id)
        if self.n_swa:
            assert len(tokens) >= min(self.n_swa, self.span(seq_id)[1] + 1), "the window is not complete"
            tokens = tokens[-self.n_swa :]
        row = np.linspace(-1, 0, N_VOCAB, dtype=np.float32)
        assert {cell.computed_with for cell in self._of(seq_id)} == {_mark(self.adapters)}, "states are mixed up"
        row[_shifted(self.model(tokens), self.adapters)] = 50
        return row * np.nan if seq_id in self.bad_logits else row

    def _forget_old(self, seq_id: int) -> None:
        """A sliding window drops what it has passed, though not at once."""
        if self.n_swa:
            last = self.span(seq_id)[1]
            self._leave([c for c in self._of(seq_id) if c.position < last - 2 * self.n_swa], seq_id)

    def _of(self, seq_id: int) -> list[Cell]:
        return [cell for cell in self.cells if seq_id in cell.sequences]

    def _leave(self, cells: list[Cell], seq_id: int) -> None:
        for cell in cells:
            cell.sequences.discard(seq_id)
        self.cells = [cell for cell in self.cells if cell.sequences]


def _mark(adapters: AdapterSet) -> int:
    """A number for a set, 0 for none."""
    return zlib.crc32(repr(adapters).encode()) >> 1 if adapters else 0


def _shifted(token: int, adapters: AdapterSet) -> int:
    n = round(sum(adapter.scale for adapter in adapters))
    return ord("a") + (token - ord("a") + n) % 26 if ord("a") <= token <= ord("z") else token
