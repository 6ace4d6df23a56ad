"""A radix tree over token sequences: who begins like this prompt, and for how long."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]

K = TypeVar("K", bound=Hashable)


class _Node(Generic[K]):
    """`edge`: the tokens between the parent and here. `keys`: the sequences that end here."""

    __slots__ = ("children", "edge", "keys", "parent")

    def __init__(self, edge: Tokens, parent: _Node[K] | None) -> None:
        self.edge = edge
        self.parent = parent
        self.children: dict[int, _Node[K]] = {}
        self.keys: set[K] = set()


class RadixTree(Generic[K]):
    """Holds one token sequence for each key. A search takes time in proportion to what the prompt has in common.

    Sequences of different kinds have nothing in common: each kind has a root of its own.
    """

    def __init__(self) -> None:
        self._roots: dict[Hashable, _Node[K]] = {}
        self._ends: dict[K, tuple[Hashable, _Node[K]]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._ends

    def put(self, key: K, tokens: Tokens, kind: Hashable = ()) -> None:
        """Let the key stand for these tokens, whatever it stood for before."""
        self.discard(key)
        node, depth = self._root(kind), 0
        while depth < len(tokens):
            child = node.children.get(int(tokens[depth]))
            if child is None:
                child = _Node(tokens[depth:].copy(), node)
                node.children[int(tokens[depth])] = child
                node = child
                break
            n = common_prefix(tokens[depth:], child.edge)
            node = child if n == len(child.edge) else _split(child, n)
            depth += n
        node.keys.add(key)
        self._ends[key] = kind, node

    def discard(self, key: K) -> None:
        """Forget the key, if it is there."""
        kind, node = self._ends.pop(key, ((), None))
        if node is None:
            return
        node.keys.discard(key)
        while node.parent is not None and not node.keys and not node.children:
            del node.parent.children[int(node.edge[0])]
            node = node.parent
        if node.parent is None and not node.keys and not node.children:
            del self._roots[kind]
        elif node.parent is not None and not node.keys and len(node.children) == 1:
            _join(node)

    def matches(self, prompt: Tokens, kind: Hashable = ()) -> Iterator[tuple[int, K]]:
        """Every key that has its first tokens in common with the prompt, and how many; the longest first.

        The tree must not change while the iterator is in use.
        """
        seen: _Node[K] | None = None
        for depth, node in reversed(self._path(prompt, kind)):
            for key in _keys_below(node, seen):
                yield depth, key
            seen = node

    def _root(self, kind: Hashable) -> _Node[K]:
        if kind not in self._roots:
            self._roots[kind] = _Node(np.empty(0, dtype=np.int32), None)
        return self._roots[kind]

    def _path(self, prompt: Tokens, kind: Hashable) -> list[tuple[int, _Node[K]]]:
        """The nodes along the prompt, each with the tokens in common; the last one may be reached in part only."""
        path: list[tuple[int, _Node[K]]] = []
        if (root := self._roots.get(kind)) is None:
            return path
        node, depth = root, 0
        while depth < len(prompt) and (child := node.children.get(int(prompt[depth]))) is not None:
            n = common_prefix(prompt[depth:], child.edge)
            depth += n
            path.append((depth, child))
            if n < len(child.edge):
                break
            node = child
        return path


def common_prefix(a: Tokens, b: Tokens) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if n == 0 or a[0] != b[0]:
        return 0
    differs = a[:n] != b[:n]
    first = int(differs.argmax())
    return first if differs[first] else n


def _split(node: _Node[K], n: int) -> _Node[K]:
    """Put a new node after the first `n` tokens of the edge; returns it."""
    assert node.parent is not None
    upper: _Node[K] = _Node(node.edge[:n].copy(), node.parent)
    node.parent.children[int(node.edge[0])] = upper
    node.edge = node.edge[n:].copy()
    node.parent = upper
    upper.children[int(node.edge[0])] = node
    return upper


def _join(node: _Node[K]) -> None:
    """Take a node that only leads on out of the way."""
    (child,) = node.children.values()
    assert node.parent is not None
    child.edge = np.concatenate([node.edge, child.edge])
    child.parent = node.parent
    node.parent.children[int(child.edge[0])] = child


def _keys_below(node: _Node[K], seen: _Node[K] | None) -> Iterator[K]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is not seen:
            yield from node.keys
            waiting += node.children.values()
