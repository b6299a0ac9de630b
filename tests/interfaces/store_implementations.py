"""Both implementations of the store, with what tests need in addition: another connection, and a flush."""

from collections.abc import Iterator
from typing import Protocol

from redis import Redis

from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.keys import KEYS
from clocksvc.redis.store import RedisStore
from clocksvc.redis_url import parse_redis_url
from tests.faulty.store import FaultyStore
from tests.interfaces.store_examples import CLOCK

WEEK_MS = 7 * DAY_MS


class StoreImplementation(Protocol):
    """A store, and what tests do to it."""

    @property
    def store(self) -> Store:
        """The store."""

    def reopen(self, recent_ticks_ms: int) -> Store:
        """The store with another `recent_ticks`. To be called before the first write."""

    def wipe(self) -> None:
        """Lose everything, as FLUSHALL does."""


class MemoryStoreImplementation:
    """The in-memory implementation."""

    def __init__(self) -> None:
        self.store = FaultyStore(CLOCK, SystemTime())

    def reopen(self, recent_ticks_ms: int) -> Store:
        self.store = FaultyStore(CLOCK, SystemTime(), recent_ticks_ms)
        return self.store

    def wipe(self) -> None:
        self.store.wipe()


class RedisStoreImplementation:
    """The Redis implementation, with a prefix for each test."""

    def __init__(self, url: str, prefix: str) -> None:
        self.raw: Redis = Redis.from_url(url, decode_responses=True, protocol=2)
        self._connection = RedisConnection(parse_redis_url(url))
        self.prefix = prefix
        self.store = RedisStore(self._connection, prefix, CLOCK)

    def reopen(self, recent_ticks_ms: int) -> Store:
        return RedisStore(self._connection, self.prefix, CLOCK, recent_ticks_ms)

    def wipe(self) -> None:
        for key in self.key_names():
            self.raw.delete(key)

    def key_names(self) -> list[str]:
        """All keys under this test's prefix."""
        return list(self.raw.scan_iter(match=f"{self.prefix}:*", count=1_000))

    def audit(self) -> None:
        """Check all keys against `keys.py`: listed, of the right type, with a TTL exactly if they should have one."""
        listed = {f"{self.prefix}:{{{CLOCK}}}:{key.name}": key for key in KEYS}
        for name in self.key_names():
            assert name in listed, f"{name} is not listed in keys.py"
            assert (self.raw.type(name), self.raw.pttl(name) > 0) == (listed[name].type, listed[name].expires), name

    def close(self) -> None:
        self._connection.close()
        self.raw.close()


def redis_implementation(url: str, prefix: str) -> Iterator[RedisStoreImplementation]:
    """A Redis implementation whose keys are audited and deleted at the end."""
    implementation = RedisStoreImplementation(url, prefix)
    try:
        yield implementation
        implementation.audit()
    finally:
        implementation.wipe()
        implementation.close()
