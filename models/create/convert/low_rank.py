"""Changes of tensors as adapters have them: products of two small matrices, moved about without being multiplied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.create.convert.numbers import F32, Array
from models.create.convert.tensors import Tensor
from models.errors import CreateFailed

Change = Callable[[Array], Array]

N_TRIED: Final = 2
"""Rows or columns that a change is tried on to see whether it leaves them alone."""


@dataclass(frozen=True, slots=True)
class LowRank(Tensor):
    """The product `b @ a`; shapes: `a` (…, rank, columns), `b` (…, rows, rank), the further dimensions outermost.

    What `moved` gives is again such a product, whatever was moved: rows, columns, or both exchanged.
    """

    a: Tensor
    b: Tensor

    @classmethod
    def product(cls, a: Tensor, b: Tensor) -> LowRank:
        """Raises: CreateFailed for matrices that do not fit each other."""
        if min(a.n_dims, b.n_dims) < 2 or a.shape[-2] != b.shape[-1]:
            raise CreateFailed(f"matrices of shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied")

        def load() -> Array:
            multiplied: Array = b.floats().astype(np.float32) @ a.floats().astype(np.float32)
            return multiplied

        outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return cls(F32, (*outer, b.shape[-2], a.shape[-1]), (load,), a, b)

    def reshaped(self, *shape: int) -> Tensor:
        whole = Tensor(self.kind, self.shape, self.parts).reshaped(*shape)
        if len(whole.shape) < 2 or whole.shape[-1] != self.shape[-1]:
            return whole
        a = self.a.reshaped(*(1 for _ in whole.shape[:-2]), *self.a.shape[-2:])
        return LowRank.product(a, self.b.reshaped(*whole.shape[:-1], self.b.shape[-1]))

    def squeezed(self) -> Tensor:
        return self.reshaped(*(n for n in self.shape if n != 1))

    def moved(self, change: Callable[[Array], Array]) -> Tensor:
        if _leaves_columns(change, self.shape):
            return LowRank.product(self.a, self.b.moved(change))
        if _leaves_rows(change, self.shape):
            return LowRank.product(self.a.moved(change), self.b)
        if _leaves_columns(_then_exchanged(change), self.shape):
            return LowRank.product(self.b.moved(_then_exchanged(change)).transposed(), self.a.transposed())
        return Tensor.moved(self, change)


def _then_exchanged(change: Change) -> Change:
    return lambda array: change(array).swapaxes(-1, -2)


def _leaves_columns(change: Change, shape: tuple[int, ...]) -> bool:
    """Whether only rows are moved: then columns may be of any number, and each stays where it is."""
    numbers = np.broadcast_to(np.arange(N_TRIED), (*shape[:-1], N_TRIED))
    return _is_each(change, numbers, lambda found: np.broadcast_to(np.arange(N_TRIED), found.shape))


def _leaves_rows(change: Change, shape: tuple[int, ...]) -> bool:
    numbers = np.broadcast_to(np.arange(N_TRIED)[:, None], (*shape[:-2], N_TRIED, shape[-1]))
    return _is_each(change, numbers, lambda found: np.broadcast_to(np.arange(N_TRIED)[:, None], found.shape))


def _is_each(change: Change, numbers: Array, wanted: Change) -> bool:
    try:
        found = change(numbers)
        return found.ndim >= 2 and bool((found == wanted(found)).all())
    except (ValueError, IndexError):  # it counts on a shape that this is not
        return False
