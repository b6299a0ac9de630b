"""One Redis as an installation uses it: the leases and notices of all logs, and the stores of all clocks."""

from collections.abc import Collection

from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.redis.clock_reads import RedisClockReads
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.leases import RedisLeases
from clocksvc.redis.notices import open_notices
from clocksvc.redis.schedulers import RedisSchedulers
from clocksvc.redis.store import RedisStore


class RedisStoreServer:
    """Creates the parts of the store, which share one connection.

    Args:
        connection: the connection. The caller closes it.
        prefix: the prefix of the keys.
    """

    def __init__(self, connection: RedisConnection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix

    def leases(self, log: int) -> RedisLeases:
        """Return the leases of a log."""
        return RedisLeases(self._connection, self._prefix, log)

    def store(self, clock: str, recent_ticks_ms: int = 7 * DAY_MS) -> RedisStore:
        """Return the store of a clock, which keeps ticks for `recent_ticks_ms`."""
        return RedisStore(self._connection, self._prefix, clock, recent_ticks_ms)

    def clock_reads(self) -> RedisClockReads:
        """Return the reader of many clocks."""
        return RedisClockReads(self._connection, self._prefix)

    def schedulers(self, clock: str) -> RedisSchedulers:
        """Return the replicas of the scheduler of a clock, and the leases on its partitions."""
        return RedisSchedulers(self._connection, self._prefix, clock)

    def notices(self, clocks: Collection[str]) -> NoticeReader:
        """Return a reader of the notices of some clocks."""
        return open_notices(self._connection, self._prefix, clocks)
