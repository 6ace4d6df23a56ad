"""The name of the built-in model: known to every server, in the store from its first use on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from models.library import Library, ModelSpec
from registry.names import ModelName, matches
from registry.store import Store

BUILTIN_NAME = ModelName.parse("pico")


def install_pico(store: Store) -> None:
    """Put the packaged model into the store. Raises: StoreUnusable, DigestMismatch."""
    from models.builtin.install import install  # here: a server that never needs the model does not load it

    install(store)


class Builtin:
    """Puts the built-in model into the store when somebody uses its name and the store has no model of that name."""

    def __init__(
        self, store: Store, library: Library, *, enabled: bool, install: Callable[[Store], None] = install_pico
    ) -> None:
        self._store = store
        self._library = library
        self._enabled = enabled
        self._install = install
        self._turn = threading.Lock()

    def is_meant_by(self, name: ModelName) -> bool:
        return self._enabled and matches(name, BUILTIN_NAME)

    def find(self, name: ModelName) -> ModelSpec:
        """The model of this name, which may be the built-in one. Raises: as `ensure` and Library.spec."""
        self.ensure(name)
        return self._library.spec(name)

    def install(self) -> None:
        """Install the model now, if it is enabled. Raises: StoreUnusable."""
        self.ensure(BUILTIN_NAME)

    def ensure(self, name: ModelName) -> None:
        """Install the model if `name` is its name; blocks. Raises: StoreUnusable."""
        if not self.is_meant_by(name) or self._store.manifests.resolve(name) is not None:
            return
        with self._turn:
            if self._store.manifests.resolve(name) is None:
                self._install(self._store)
