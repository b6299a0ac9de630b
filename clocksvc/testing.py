"""For tests, yours and ours: time that moves by hand, and a whole clock in memory with the real leader in it.

    clock = InMemoryClock(topic="orders", partitions=2)
    clock.report(0, "2026-11-22T12:01:07Z")
    clock.report(1, "2026-11-22T12:01:03Z")
    assert [tick.at_ms for tick in clock.ticks()] == [...]

Nothing here needs a server, and nothing waits.
"""

import itertools

from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.store import Report
from clocksvc.interfaces.topics import TimestampType
from clocksvc.leader.context import LeaderDependencies, LeaderObserver
from clocksvc.leader.leader import Leader
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.tick_log import (
    MemoryLog,
    MemoryTickLog,
)
from clocksvc.memory.topics import MemoryTopics

_MOST_STEPS = 10_000


class ManualTime:
    """A Time that stands still until it is moved."""

    def __init__(self, now: str | int | float = "2026-11-22T12:00:00Z") -> None:
        self._now_ms = parse_timestamp("now", now)
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def set(self, now: str | int | float) -> None:
        """Set the wall clock, forward or back. The monotonic clock does not change."""
        self._now_ms = parse_timestamp("now", now)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds


class InMemoryClock:
    """One clock with all its keepers in memory, led by the real leader.

    Attributes:
        time: moves by hand; store and leader share it.
        store, log, topics: the keepers, to look at or to break.
    """

    def __init__(
        self,
        *,
        topic: str = "events",
        partitions: int = 1,
        interval_seconds: int = 60,
        max_out_of_orderness_seconds: float = 0,
        now: str | int | float = "2026-11-22T12:00:00Z",
        timestamp_type: TimestampType = TimestampType.LOG_APPEND_TIME,
    ) -> None:
        self.spec = ClockSpec(
            name="clock",
            topics=(topic,),
            group="group",
            tick_log="clock-ticks",
            interval_ms=interval_seconds * 1000,
            max_out_of_orderness_ms=round(max_out_of_orderness_seconds * 1000),
        )
        self.time = ManualTime(now)
        self.store = MemoryStore(self.spec.name, self.time, self.spec.recent_ticks_ms)
        self.log = MemoryLog()
        self.topics = MemoryTopics("memory")
        self.topics.create(topic, partitions, timestamp_type)
        self._ids = itertools.count(1)
        self.leader = self.new_leader("leader")

    def new_leader(self, holder: str, spec: ClockSpec | None = None, observer: LeaderObserver | None = None) -> Leader:
        """Another replica's leader over the same keepers, to take over or to stand by."""
        spec = spec or self.spec
        ticklog = MemoryTickLog(self.log, spec.name)
        parts = LeaderDependencies(spec, self.store, ticklog, self.topics, self.time, self._new_id)
        return Leader(parts, holder, observer)

    def report(self, partition: int, timestamp: str | int | float, *, topic: str | None = None) -> Outcome:
        """A consumer's word on one partition, and all that follows from it."""
        self.settle()
        reading = PartitionTimestamp(
            Partition(topic or self.spec.topics[0], partition), parse_timestamp("timestamp", timestamp)
        )
        outcome = self.store.report(Report(self.spec.group, (reading,))).outcomes[0]
        self.settle()
        return outcome

    def settle(self, leader: Leader | None = None) -> None:
        """Let the leader step until it would wait. Time stands still meanwhile."""
        leader = leader or self.leader
        for _ in range(_MOST_STEPS):
            if leader.step() > 0:
                return
        raise AssertionError("the leader does not come to rest")

    def ticks(self) -> list[Tick]:
        """All kept ticks, ascending."""
        return self.store.ticks_after(0, 1_000_000)

    def _new_id(self) -> str:
        return f"{next(self._ids):012x}{0:020x}"
