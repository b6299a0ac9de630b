"""One partition of schedules over memory: topics, ticks, and replicas that a test steps."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.interfaces.compacted_topic import Polled
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.memory.compacted_topic import MemoryCompactedTopic, MemoryTopicReader
from clocksvc.memory.schedule_writer import MemoryScheduleWriter, ScheduleWriters
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState
from clocksvc.schedules.schedule import parse_schedule
from clocksvc.testing import ManualTime
from tests.faulty.due_log import FaultyDueLog, FaultySharedDueLog

CLOCK = "checkins"
MINUTE = 60_000


class Ticks:
    """A TickSource whose ticks a test adds.

    Attributes:
        all: the ticks.
        error: what all methods raise.
        before_read: called when ticks are read.
    """

    def __init__(self) -> None:
        self.all: list[TickWithOffset] = []
        self.error: Exception | None = None
        self.before_read: Callable[[], None] = lambda: None
        self._wakes: list[Callable[[], None]] = []

    def add(
        self, at_ms: int, previous_ms: int | None = None, *, interval_ms: int = MINUTE, begins: bool = False
    ) -> None:
        if previous_ms is None and self.all:
            previous_ms = self.all[-1].tick.at_ms
        self.all.append(TickWithOffset(len(self.all), Tick(CLOCK, at_ms, previous_ms, interval_ms, at_ms), begins))
        for wake in self._wakes:
            wake()

    def after(self, clock: str, at_ms: int, limit: int) -> list[TickWithOffset]:
        self._check()
        self.before_read()
        return [one for one in self.all if one.tick.at_ms > at_ms][:limit]

    def newest(self, clock: str) -> int | None:
        self._check()
        return self.all[-1].tick.at_ms if self.all else None

    def subscribe(self, clock: str, wake: Callable[[], None]) -> Callable[[], None]:
        self._wakes.append(wake)
        return lambda: self._wakes.remove(wake)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class _Reader(MemoryTopicReader):
    """A poll without a result takes its time."""

    def __init__(self, topic: MemoryCompactedTopic, time: ManualTime) -> None:
        super().__init__(topic)
        self._time = time

    def poll(self, timeout_s: float) -> Polled:
        polled = super().poll(timeout_s)
        if not polled.records and not polled.ends:
            self._time.advance(timeout_s)
        return polled


@dataclass
class PartitionFixture:
    """One partition, as brokers have it, and the ticks of its clock. The clock's interval is a minute.

    Attributes:
        now_ms: the last tick that `tick` has added.
    """

    time: ManualTime = field(default_factory=lambda: ManualTime("2026-11-22T12:00:00Z"))
    ticks: Ticks = field(default_factory=Ticks)
    sink: DueSink | None = None

    def __post_init__(self) -> None:
        self.topic = MemoryCompactedTopic(f"{CLOCK}-schedules", 1)
        self.due_log = FaultySharedDueLog(self.time)
        self.writers = ScheduleWriters(self.topic, 0, self.time)
        self.now_ms = self.time.now_ms()
        self.ticks.add(self.now_ms)

    def open(self) -> SchedulePartition:
        """The partition in another replica."""
        return SchedulePartition(
            SchedulesSpec(CLOCK, 1),
            0,
            schedules=lambda: _Reader(self.topic, self.time),
            due_log=FaultyDueLog(self.due_log),
            writer=MemoryScheduleWriter(self.writers),
            ticks=self.ticks,
            time=self.time,
            sink=self.sink,
        )

    def owner(self) -> SchedulePartition:
        """The partition in another replica, which has become the owner."""
        partition = self.open()
        partition.acquire()
        self.run(partition)
        assert partition.state is PartitionState.OWNER, partition.stats
        return partition

    def run(self, *partitions: SchedulePartition) -> None:
        """Step partitions until they are idle. The time advances a little after errors."""
        for partition in partitions:
            for _ in range(200):
                wait_s = partition.step()
                if wait_s >= 0.1 and partition.stats.problem is None:
                    break
                self.time.advance(wait_s)

    def put(self, key: str, *, created: str = "2026-11-01T00:00:00Z", **fields: Any) -> int:
        """Write a schedule, due each minute unless set, and return its offset."""
        given = {"task": "uptime.check", **({} if "cron" in fields else {"interval": 60}), **fields}
        value = parse_schedule(given, MINUTE, parse_timestamp("created", created)).encode()
        return self.topic.append(0, key.encode(), value, self.time.now_ms())

    def delete(self, key: str) -> None:
        self.topic.append(0, key.encode(), None, self.time.now_ms())

    def tick(self, minutes: int = 1) -> None:
        """Add the next ticks, one a minute, and advance the time to them."""
        for _ in range(minutes):
            self.now_ms += MINUTE
            self.time.set(to_rfc3339(max(self.time.now_ms(), self.now_ms)))
            self.ticks.add(self.now_ms)

    def due(self) -> list[tuple[str, str]]:
        """The schedule and the due time of all due records that readers of committed records get, as 12:01."""
        return [
            (headers["clocksvc-schedule"], headers["clocksvc-due"][11:16])
            for headers in self.headers()
            if "clocksvc-type" not in headers
        ]

    def ids(self) -> list[str]:
        """The ids of all records but positions."""
        return [headers["clocksvc-id"] for headers in self.headers() if headers.get("clocksvc-type") != "position"]

    def headers(self) -> list[dict[str, str]]:
        """The headers of all committed records."""
        return [{name: (value or b"").decode() for name, value in entry.headers} for entry in self.due_log.committed()]

    def positions(self) -> list[str]:
        """The ticks of all positions, as 12:01; - before the clock's first tick."""
        values = [json.loads(entry.value or b"") for entry in self.due_log.committed() if entry.key == b"_position"]
        return ["-" if value["tick"] is None else value["tick"][11:16] for value in values]
