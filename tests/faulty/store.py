"""A store in memory that can lose its content, go back to older content, or not answer."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import Time
from clocksvc.memory.store_access import StoreAccess, StoreContent
from clocksvc.memory.store_server import MemoryStoreServer


class FaultyStoreAccess(StoreAccess):
    """An access that fails while `broken`."""

    broken = False

    @contextmanager
    def answering(self) -> Iterator[StoreContent]:
        with super().answering() as content:
            if self.broken:
                raise StoreUnavailable
            yield content

    def wait(self, condition: Callable[[StoreContent], bool], timeout_s: float) -> None:
        super().wait(lambda content: self.broken or condition(content), timeout_s)


class FaultyStoreServer(MemoryStoreServer):
    """A store to which can happen what happens to a Redis: a flush, a restart from an older state, no answer."""

    def __init__(self, time: Time) -> None:
        self._faulty = FaultyStoreAccess(time)
        super().__init__(time, self._faulty)

    @property
    def broken(self) -> bool:
        """While true, all methods raise StoreUnavailable."""
        return self._faulty.broken

    @broken.setter
    def broken(self, broken: bool) -> None:
        self._faulty.broken = broken
        self._faulty.changed()

    @property
    def content(self) -> StoreContent:
        """The present content, also while the store is broken."""
        return self._faulty.content

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self.fail_over(StoreContent())

    def copy_state(self) -> StoreContent:
        """Return a copy of the complete content, for `restore` and `fail_over`."""
        return copy.deepcopy(self._faulty.content)

    def restore(self, state: StoreContent) -> None:
        """Go back to what `copy_state` returned, as a restart from an older file does. Announcements are incomplete."""
        restored = copy.deepcopy(state)
        restored.announcements_complete_since_ms = None
        for log in restored.logs.values():
            log.announcements_complete_since_ms = None
        self.fail_over(restored)

    def fail_over(self, state: StoreContent) -> None:
        """Go back to what `copy_state` returned, as a failover to a replica that lagged does.

        The numbers of notices go back, too. What was announced in `state` still counts as complete.
        """
        self._faulty.content = copy.deepcopy(state)
        self._faulty.changed()
