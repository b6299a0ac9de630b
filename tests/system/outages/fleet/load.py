"""The consumers of all clocks: at each boundary, every partition of every clock is reported, straight to the store."""

import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, Self

from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.errors import Unavailable
from clocksvc.interfaces.progress import Report
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store import RedisStore
from clocksvc.redis_url import parse_redis_url
from tests.system.installation import wall_ms

PARTITIONS = 2
_AFTER_BOUNDARY_MS = 5
_REPEAT_MS = 1_000
_ENDS_WITHIN_S = 30.0


class Reported(NamedTuple):
    """One report of all partitions of a clock, in ms. The partitions' timestamp is the time at which it was sent.

    `answered_ms` is None if the store did not answer: the report may have taken effect.
    """

    sent_ms: int
    answered_ms: int | None


class Load:
    """Reports for all clocks that were added, in a thread, until the end of the block.

    It writes to the store without a proxy, so no fault disturbs it. As a Reporter, it repeats unknown partitions after
    1 s; a new leader that writes the roster makes them unknown for a moment.

    Attributes:
        reported: by clock, in the order of time.
    """

    def __init__(self, redis_url: str, prefix: str, topic: str, group: str, interval_s: int) -> None:
        self._connection, self._prefix = RedisConnection(parse_redis_url(redis_url)), prefix
        self._partitions = [Partition(topic, number) for number in range(PARTITIONS)]
        self._group, self._interval_ms = group, interval_s * 1000
        self._stores: dict[str, RedisStore] = {}
        self.reported: dict[str, list[Reported]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def add(self, clocks: Iterable[str]) -> None:
        """Report for these clocks, too."""
        added = {name: RedisStore(self._connection, self._prefix, name) for name in clocks}
        self._stores = {**self._stores, **added}

    def remove(self, clock: str) -> None:
        """Report no more for a clock."""
        self._stores = {name: store for name, store in self._stores.items() if name != clock}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Report nothing any more."""
        self._stop.set()
        self._thread.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        unknown: list[str] = []
        boundary_ms = self._next_boundary_ms()
        while True:
            wait_ms = boundary_ms + _AFTER_BOUNDARY_MS - wall_ms()
            if self._stop.wait(max(0, min(wait_ms, _REPEAT_MS) if unknown else wait_ms) / 1000):
                return
            stores, due = self._stores, unknown
            if wall_ms() >= boundary_ms:
                due, boundary_ms = list(stores), self._next_boundary_ms()
            unknown = [name for name in due if name in stores and not self._report(name, stores[name])]

    def _next_boundary_ms(self) -> int:
        now_ms = wall_ms()
        return now_ms - now_ms % self._interval_ms + self._interval_ms

    def _report(self, clock: str, store: RedisStore) -> bool:
        """Report a clock; False if its partitions are unknown."""
        sent_ms = wall_ms()
        timestamps = tuple(PartitionTimestamp(partition, sent_ms) for partition in self._partitions)
        answered_ms, outcomes = None, set[Outcome]()
        with suppress(Unavailable):
            outcomes = set(store.report(Report(self._group, timestamps)).outcomes)
            answered_ms = wall_ms()
        self.reported[clock].append(Reported(sent_ms, answered_ms))
        return Outcome.UNKNOWN not in outcomes
