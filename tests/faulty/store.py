"""A store in memory that can lose its content, go back to older content, or not answer."""

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TypeVar

from clocksvc.clock.logs import log_of
from clocksvc.clock.spec import DAY_MS
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import Time
from clocksvc.memory.scheduler_state import StoredSchedulers
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_access import StoreAccess, StoreContent, StoredLog
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.memory.store_state import StoredClock

_Content = TypeVar("_Content", StoredLog, StoredClock, StoredSchedulers)


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
    """A store to which can happen what happens to a Redis: a flush, a restart from an older state, no answer.

    `access` is for stores with further faults.
    """

    def __init__(self, time: Time) -> None:
        self.access = FaultyStoreAccess(time)
        super().__init__(time, self.access)

    @property
    def broken(self) -> bool:
        """While true, all methods raise StoreUnavailable."""
        return self.access.broken

    @broken.setter
    def broken(self, broken: bool) -> None:
        self.access.broken = broken
        self.access.changed()

    @property
    def content(self) -> StoreContent:
        """The present content, also while the store is broken."""
        return self.access.content

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self.fail_over(StoreContent())

    def copy_state(self) -> StoreContent:
        """Return a copy of the complete content, for `restore` and `fail_over`."""
        return _copy_content(self.access.content)

    def restore(self, state: StoreContent) -> None:
        """Go back to what `copy_state` returned, as a restart from an older file does. Announcements are incomplete."""
        restored = _copy_content(state)
        restored.announcements_complete_since_ms = None
        for log in restored.logs.values():
            log.announcements_complete_since_ms = None
        for schedulers in restored.schedulers.values():
            schedulers.complete_since_ms = None
        self.fail_over(restored)

    def fail_over(self, state: StoreContent) -> None:
        """Go back to what `copy_state` returned, as a failover to a replica that lagged does.

        The numbers of notices go back, too. What was announced in `state` still counts as complete.
        """
        self.access.content = _copy_content(state)
        self.access.changed()


class FaultyStore(MemoryStore):
    """The store of one clock. Subclasses can override methods.

    Attributes:
        server: the server, by default one of its own. Faults are injected there.
        leases: the leases of the clock's log.
    """

    def __init__(
        self,
        clock: str,
        time: Time,
        *,
        server: FaultyStoreServer | None = None,
        recent_ticks_ms: int = 7 * DAY_MS,
    ) -> None:
        self.server = server or FaultyStoreServer(time)
        self.leases = self.server.leases(log_of(clock))
        super().__init__(self.server.access, clock, recent_ticks_ms)


def _copy_content(content: StoreContent) -> StoreContent:
    """Return a copy with containers of its own. All values in them are immutable, so they are not copied."""
    logs = {number: _copy_containers(log) for number, log in content.logs.items()}
    clocks = {name: _copy_containers(clock) for name, clock in content.clocks.items()}
    schedulers = {name: _copy_containers(stored) for name, stored in content.schedulers.items()}
    return StoreContent(content.announcements_complete_since_ms, logs, clocks, schedulers)


def _copy_containers(value: _Content) -> _Content:
    copied: _Content = copy.copy(value)
    for field in fields(copied):
        held = getattr(copied, field.name)
        if isinstance(held, dict):
            # Only a counter, such as those of a dispatcher, is a container inside of a container.
            copies = {key: one.copy() if isinstance(one, Counter) else one for key, one in held.items()}
            setattr(copied, field.name, held.copy() if isinstance(held, Counter) else copies)
        elif isinstance(held, list | set | deque):
            setattr(copied, field.name, held.copy())
    return copied
