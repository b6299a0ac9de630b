"""The implementations of the store, with what tests need in addition: a flush, and the keys in Redis."""

from collections.abc import Collection, Iterator
from typing import Any, Protocol

from redis import Redis, RedisCluster

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.clock_reads import ClockReads
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.interfaces.schedulers import Schedulers
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.connection import RedisClient, RedisConnection
from clocksvc.redis.keys import CLOCK_KEYS, LOG_KEYS, clock_key, log_key
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests.faulty.store import FaultyStoreServer
from tests.interfaces.store_examples import CLOCK, LOG


class StoreServer(Protocol):
    """What one Redis is for an installation."""

    def leases(self, log: int) -> Leases:
        """The leases of a log."""

    def store(self, clock: str, recent_ticks_ms: int = 7 * DAY_MS) -> Store:
        """The store of a clock."""

    def clock_reads(self) -> ClockReads:
        """The reader of many clocks."""

    def schedulers(self, clock: str) -> Schedulers:
        """The replicas of the scheduler of a clock, and the leases on its partitions."""

    def notices(self, clocks: Collection[str]) -> NoticeReader:
        """A reader of the notices of some clocks."""


class StoreImplementation:
    """A store, and what tests do to it."""

    def __init__(self, server: StoreServer) -> None:
        self.server = server
        self.store = server.store(CLOCK)
        self.leases = server.leases(LOG)

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""
        raise NotImplementedError

    def add_notice_after_gap(self, log: int, clock: str) -> None:
        """Add a notice whose number is not the next one, as readers see it after the notices between were trimmed."""
        raise NotImplementedError

    def drop_notices(self, log: int) -> None:
        """Lose the notices of a log. Their numbers begin again."""
        raise NotImplementedError

    def set_late_records(self, count: int) -> None:
        """Set the clock's counter of late records."""
        raise NotImplementedError

    def set_reported(self, partition: Partition, at_ms: int) -> None:
        """Set when a partition of the clock was last reported."""
        raise NotImplementedError


class MemoryStoreImplementation(StoreImplementation):
    """The in-memory implementation."""

    def __init__(self) -> None:
        self.memory = FaultyStoreServer(SystemTime())
        super().__init__(self.memory)

    def wipe(self) -> None:
        self.memory.wipe()

    def add_notice_after_gap(self, log: int, clock: str) -> None:
        stored = self.memory.content.log(log)
        stored.notices.clear()
        stored.last_notice += 3
        stored.add_notice(clock)

    def drop_notices(self, log: int) -> None:
        stored = self.memory.content.log(log)
        stored.notices.clear()
        stored.last_notice = 0

    def set_late_records(self, count: int) -> None:
        self.memory.content.clock(CLOCK).late_records = count

    def set_reported(self, partition: Partition, at_ms: int) -> None:
        self.memory.content.clock(CLOCK).reported[partition] = at_ms


class RedisStoreImplementation(StoreImplementation):
    """The Redis implementation, with a prefix for each test."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix
        self._connection = RedisConnection(parse_redis_url(url))
        self.raw: RedisClient = self._raw()
        super().__init__(RedisStoreServer(self._connection, prefix))

    def wipe(self) -> None:
        for key in self.key_names():
            self.raw.delete(key)

    def add_notice_after_gap(self, log: int, clock: str) -> None:
        key = log_key(self.prefix, log, "notices")
        entries: Any = self.raw.xrevrange(key, count=1)
        last = entries[0]
        self.raw.xadd(key, {"c": clock}, id=f"{int(last[0].partition('-')[0]) + 4}-0")

    def drop_notices(self, log: int) -> None:
        self.raw.delete(log_key(self.prefix, log, "notices"))

    def set_late_records(self, count: int) -> None:
        self.raw.hset(self.key("counters"), "late_records", count)

    def set_reported(self, partition: Partition, at_ms: int) -> None:
        self.raw.hset(self.key("reported"), str(partition), at_ms)

    def key(self, name: str) -> str:
        """A key of the clock."""
        return clock_key(self.prefix, CLOCK, name)

    def log_key(self, name: str) -> str:
        """A key of the clock's log."""
        return log_key(self.prefix, LOG, name)

    def key_names(self) -> list[str]:
        """All keys under this test's prefix."""
        return list(self.raw.scan_iter(match=f"{self.prefix}:*", count=1_000))

    def audit(self) -> None:
        """Check all keys against `keys.py`: listed, of the right type, with a TTL exactly if they should have one."""
        found = self.key_names()
        clocks = {parts[2] for key in found if len(parts := key.split(":")) == 4}
        listed = {clock_key(self.prefix, clock, key.name): key for clock in clocks for key in CLOCK_KEYS}
        listed |= {log_key(self.prefix, log, key.name): key for log in range(16) for key in LOG_KEYS}
        for name in found:
            assert name in listed, f"{name} is not listed in keys.py"
            assert (self.raw.type(name), self.raw.pttl(name) > 0) == (listed[name].type, listed[name].expires), name

    def close(self) -> None:
        self._connection.close()
        self.raw.close()

    def _raw(self) -> RedisClient:
        if self._connection.is_cluster:
            address = parse_redis_url(self.url)
            host, port = address.nodes[0]
            return RedisCluster(host=host, port=port, decode_responses=True, protocol=2)
        return Redis.from_url(self.url, decode_responses=True, protocol=2)


def redis_implementation(url: str, prefix: str) -> Iterator[RedisStoreImplementation]:
    """A Redis implementation whose keys are audited and deleted at the end."""
    implementation = RedisStoreImplementation(url, prefix)
    try:
        yield implementation
        implementation.audit()
    finally:
        implementation.wipe()
        implementation.close()
