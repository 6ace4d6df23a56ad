"""Adapters that do not fit beside each other; see tests/integration/test_adapters.py for those that do."""

from __future__ import annotations

import pytest

from models.errors import LoadError, OutOfMemory
from models.llama.adapters import Adapters, LoadedAdapter
from models.runner.settings import Adapter, AdapterSet, HeldAdapters


class Small(Adapters):
    """There is memory for two."""

    def _read(self, path: str) -> LoadedAdapter:
        if len(self.held.paths) == 2:
            raise OutOfMemory("no memory")
        return LoadedAdapter(None, 10, 3)


def test_what_they_take_is_counted() -> None:
    adapters = Small(None, "")
    adapters.load(["a", "b", "a"])
    assert adapters.held == HeldAdapters(("a", "b"), 26, 6)


def test_idle_ones_make_room() -> None:
    adapters = Small(None, "")
    adapters.load(["a", "b"])
    adapters.wanted = lambda: [(Adapter("b"),)]
    adapters.load(["c"])
    assert adapters.held.paths == ("b", "c")


def test_those_that_are_wanted_do_not() -> None:
    adapters = Small(None, "")
    adapters.load(["a", "b"])
    adapters.wanted = lambda: [(Adapter("a"), Adapter("b"))]
    with pytest.raises(OutOfMemory):
        adapters.load(["c"])
    assert adapters.held.paths == ("a", "b")


def test_nor_does_one_for_another_of_its_own_set() -> None:
    adapters = Small(None, "")
    with pytest.raises(OutOfMemory):
        adapters.load(["a", "b", "c"])
    adapters.free_idle()
    assert adapters.held == HeldAdapters()


def test_a_set_is_tried_once() -> None:
    adapters, tried = Small(None, ""), []

    def probe(wanted: AdapterSet) -> bool:
        tried.append(wanted)
        return False

    adapters.probe = probe
    for _ in range(2):
        with pytest.raises(LoadError, match="does not compute numbers"):
            adapters.apply(User(), None, (Adapter("a"),))
    assert tried == [(Adapter("a"),)]


def test_one_that_could_not_be_tried_is_tried_again() -> None:
    adapters = Small(None, "")

    def probe(wanted: AdapterSet) -> bool:
        raise LoadError("no context")

    adapters.probe = probe
    for _ in range(2):
        with pytest.raises(LoadError, match="no context"):
            adapters.apply(User(), None, (Adapter("a"),))


class User:
    adapters: AdapterSet = ()

    def use_adapters(self, adapters: AdapterSet) -> None:
        raise AssertionError("nothing is given up")
