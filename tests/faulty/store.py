"""A store in memory that can lose its state, be rolled back, or not answer."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clocksvc.clock.spec import DAY_MS
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import Time
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_state import StoreState


class FaultyStore(MemoryStore):
    """A `Store` to which can happen what happens to a Redis: a flush, a roll-back to an old snapshot, no answer."""

    def __init__(self, clock: str, time: Time, recent_ticks_ms: int = 7 * DAY_MS) -> None:
        super().__init__(clock, time, recent_ticks_ms)
        self._broken = False

    @property
    def broken(self) -> bool:
        """While true, all methods raise StoreUnavailable."""
        return self._broken

    @broken.setter
    def broken(self, broken: bool) -> None:
        with self._changed:
            self._broken = broken
            self._changed.notify_all()

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self.restore(StoreState())

    def copy_state(self) -> StoreState:
        """The complete state, for `restore`."""
        with self._changed:
            return copy.deepcopy(self._state)

    def restore(self, state: StoreState) -> None:
        """Roll back to what `copy_state` gave."""
        with self._changed:
            self._state = copy.deepcopy(state)
            self._state.announcements_complete_since_ms = None
            self._changed.notify_all()

    @contextmanager
    def _answering(self) -> Iterator[StoreState]:
        with super()._answering() as state:
            if self._broken:
                raise StoreUnavailable
            yield state

    def _wait(self, condition: Callable[[StoreState], bool], timeout_s: float) -> None:
        super()._wait(lambda state: self._broken or condition(state), timeout_s)
