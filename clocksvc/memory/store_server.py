"""A store in memory, for one process: what one Redis is for an installation.

It returns the same results as the Redis store. The tests in `tests/interfaces` run with both.
"""

from collections.abc import Collection

from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.time import Time
from clocksvc.memory.clock_reads import MemoryClockReads
from clocksvc.memory.leases import MemoryLeases
from clocksvc.memory.notices import MemoryNoticeReader
from clocksvc.memory.schedulers import MemorySchedulers
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_access import StoreAccess


class MemoryStoreServer:
    """The leases of all logs, and the stores of all clocks. Safe to use from several threads.

    All replicas of leaders count as announced from the beginning, so leaders don't wait for announcements. Methods that
    block wait in real time, not in the time of `time`. With a timeout of 0 they return at once.

    Args:
        time: the store's own clock.
        access: the access to the content, if it is not the usual one: tests inject faults there.
    """

    def __init__(self, time: Time, access: StoreAccess | None = None) -> None:
        self._access = access or StoreAccess(time)

    def leases(self, log: int) -> MemoryLeases:
        """Return the leases of a log."""
        return MemoryLeases(self._access, log)

    def store(self, clock: str, recent_ticks_ms: int = 7 * DAY_MS) -> MemoryStore:
        """Return the store of a clock, which keeps ticks for `recent_ticks_ms`."""
        return MemoryStore(self._access, clock, recent_ticks_ms)

    def clock_reads(self) -> MemoryClockReads:
        """Return the reader of many clocks."""
        return MemoryClockReads(self._access)

    def schedulers(self, clock: str) -> MemorySchedulers:
        """Return the replicas of the scheduler of a clock, and the leases on its partitions."""
        return MemorySchedulers(self._access, clock)

    def notices(self, clocks: Collection[str]) -> MemoryNoticeReader:
        """Return a reader of the notices of some clocks."""
        return MemoryNoticeReader(self._access, clocks)
