"""Tensors on their way from one file to the other: described at once, read and changed when they are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.create.convert.numbers import F32, FLOATS, Array, Kind, encoded, to_floats
from models.create.convert.safetensors import StoredTensor
from models.errors import CreateFailed

Load = Callable[[], Array]
"""Reads one part, in the numpy type of the tensor's kind; nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor by its shape (outermost first) and its parts: flat, one behind the other, they are its numbers."""

    kind: Kind
    shape: tuple[int, ...]
    parts: tuple[Load, ...]

    @classmethod
    def stored(cls, tensor: StoredTensor) -> Tensor:
        def load() -> Array:
            if not tensor.size_bytes:
                return np.empty(tensor.shape, tensor.kind.numpy)
            return np.memmap(tensor.path, tensor.kind.numpy, "r", tensor.offset, tensor.shape or (1,))

        return cls(tensor.kind, tensor.shape, (load,))

    @classmethod
    def of(cls, array: Array) -> Tensor:
        """Numbers that are known already."""
        values = np.asarray(array, np.float32)
        return cls(F32, values.shape, (lambda: values,))

    @classmethod
    def lazy(cls, shape: tuple[int, ...], load: Load) -> Tensor:
        """Numbers in float32 that are computed when they are written."""
        return cls(F32, shape, (load,))

    @property
    def n_dims(self) -> int:
        return len(self.shape)

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    def load(self) -> Array:
        """All numbers at once, in this kind."""
        if len(self.parts) == 1:
            return self.parts[0]().reshape(self.shape)
        whole = np.empty(self.n_elements, self.kind.numpy)
        at = 0
        for part in self.parts:
            array = part().reshape(-1)
            whole[at : at + array.size] = array
            at += array.size
        return whole.reshape(self.shape)

    def floats(self) -> Array:
        """All numbers at once, in float32 or float16."""
        return to_floats(self.load(), self.kind)

    def encoded(self, target: Kind) -> Iterator[Array]:
        """The numbers in the format of the target, in flat pieces, part by part."""
        for part in self.parts:
            yield from encoded(part(), self.kind, target)

    # ---- changes; the shape is known before anything is read

    def reshaped(self, *shape: int) -> Tensor:
        """The same numbers in another shape; one -1 stands for what is left."""
        if -1 in shape:
            known = -math.prod(shape)
            shape = tuple(self.n_elements // max(known, 1) if n == -1 else n for n in shape)
        if math.prod(shape) != self.n_elements:
            raise CreateFailed(f"a tensor of shape {list(self.shape)} does not have the shape {list(shape)}")
        return replace(self, shape=shape)

    def moved(self, change: Callable[[Array], Array]) -> Tensor:
        """Numbers put elsewhere or left out, none changed: any function of numpy that only looks at shapes."""
        shape = _shape_after(change, self.shape)
        return Tensor(self.kind, shape, (lambda: change(self.load()),))

    def computed(self, change: Callable[[Array], Array]) -> Tensor:
        """Numbers changed, each for itself, in float32 or float16; part by part."""
        kind = self.kind if self.kind in FLOATS else F32

        def after(part: Load) -> Load:
            return lambda: change(to_floats(part(), self.kind)).astype(kind.numpy, copy=False)

        return Tensor(kind, self.shape, tuple(after(part) for part in self.parts))

    def squeezed(self) -> Tensor:
        """Without the dimensions of 1."""
        return replace(self, shape=tuple(n for n in self.shape if n != 1))

    def rows(self, start: int, stop: int | None = None) -> Tensor:
        """A range along the first dimension."""
        return self.moved(lambda array: array[start:stop])

    def transposed(self) -> Tensor:
        """The last two dimensions exchanged."""
        return self.moved(lambda array: array.swapaxes(-1, -2))


def _shape_after(change: Callable[[Array], Array], shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a change makes of a shape, tried on an array that has no memory of its own."""
    hollow = np.broadcast_to(np.uint8(0), shape)
    try:
        return change(hollow).shape
    except (ValueError, IndexError) as error:
        raise CreateFailed(f"a tensor of shape {list(shape)} cannot be converted: {error}") from error


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape one behind the other, with a new first dimension."""
    first = tensors[0]
    if any(tensor.shape != first.shape or tensor.kind != first.kind for tensor in tensors):
        raise CreateFailed("experts differ in shape or type")
    parts = tuple(part for tensor in tensors for part in tensor.parts)
    return Tensor(first.kind, (len(tensors), *first.shape), parts)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one behind the other along the first dimension."""
    first = tensors[0]
    if any(tensor.shape[1:] != first.shape[1:] or tensor.kind != first.kind for tensor in tensors):
        raise CreateFailed("tensors that belong together differ in shape or type")
    parts = tuple(part for tensor in tensors for part in tensor.parts)
    return Tensor(first.kind, (sum(tensor.shape[0] for tensor in tensors), *first.shape[1:]), parts)


def zeros(kind: Kind, shape: tuple[int, ...]) -> Tensor:
    """Nothing but zeros."""
    return Tensor(kind, shape, (lambda: np.zeros(shape, kind.numpy),))
