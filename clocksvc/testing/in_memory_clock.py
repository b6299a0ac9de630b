"""One clock with in-memory implementations and the real leader."""

import itertools

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.topics import TimestampType
from clocksvc.leader.context import LeaderDependencies, LeaderObserver
from clocksvc.leader.leader import Leader
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.memory.tick_log import MemoryLog, MemoryTickLog
from clocksvc.memory.topics import MemoryTopics
from clocksvc.testing.manual_time import ManualTime

_MOST_STEPS = 10_000


class InMemoryClock:
    """One clock with in-memory implementations and the real leader.

    Attributes:
        time: the time of store and leader. Call `time.advance` to advance it.
        store_server, store: the store of all clocks, and this clock's part of it.
        log, topics: the tick log and the watched topics.
    """

    store_server: MemoryStoreServer
    log: MemoryLog
    topics: MemoryTopics

    def __init__(
        self,
        *,
        topic: str = "events",
        partitions: int = 1,
        interval_seconds: int = 60,
        max_out_of_orderness_seconds: float = 0,
        max_drift_seconds: float | None = None,
        now: str | int | float = "2026-11-22T12:00:00Z",
        timestamp_type: TimestampType = TimestampType.LOG_APPEND_TIME,
    ) -> None:
        self.spec = ClockSpec(
            name="clock",
            topics=(topic,),
            group="group",
            interval_ms=interval_seconds * 1000,
            max_out_of_orderness_ms=round(max_out_of_orderness_seconds * 1000),
            max_drift_ms=None if max_drift_seconds is None else round(max_drift_seconds * 1000),
        )
        self.time = ManualTime(now)
        self.make_parts()
        self.store = self.store_server.store(self.spec.name, self.spec.recent_ticks_ms)
        self.topics.create(topic, partitions, timestamp_type)
        self._ids = itertools.count(1)
        self.leader = self.new_leader("leader")

    def make_parts(self) -> None:
        """Create `store_server`, `log` and `topics`. Subclasses may create others, for example with faults."""
        self.store_server = MemoryStoreServer(self.time)
        self.log = MemoryLog(self.time)
        self.topics = MemoryTopics("memory")

    def new_tick_log(self) -> TickLog:
        """Return a new writer and reader of the tick log, as another process would have it."""
        return MemoryTickLog(self.log)

    def new_leader(self, holder: str, spec: ClockSpec | None = None, observer: LeaderObserver | None = None) -> Leader:
        """Return the leader of another replica with the same implementations, as a standby or a successor."""
        spec = spec or self.spec
        log = log_of(spec.name)
        parts = LeaderDependencies(
            log=log,
            installation=Installation("memory", "memory"),
            specs={spec.name: spec},
            leases=self.store_server.leases(log),
            stores={spec.name: self.store},
            ticklog=self.new_tick_log(),
            topics=self.topics,
            time=self.time,
            kafka_ready=self.kafka_ready,
            new_id=self._new_id,
        )
        return Leader(parts, holder, observer)

    def kafka_ready(self) -> bool:
        """True if leaders reach Kafka. Subclasses may return something else."""
        return True

    def report(self, partition: int, timestamp: str | int | float, *, topic: str | None = None) -> Outcome:
        """Report a processed timestamp as a consumer does, and run the leader until it has handled the report."""
        self.settle()
        processed = PartitionTimestamp(
            Partition(topic or self.spec.topics[0], partition), parse_timestamp("timestamp", timestamp)
        )
        outcome = self.store.report(Report(self.spec.reporting_group, (processed,))).outcomes[0]
        self.settle()
        return outcome

    def settle(self, leader: Leader | None = None) -> None:
        """Run the leader until its next step is not due yet. The time does not change.

        Raises:
            AssertionError: after 10,000 steps, the next step is still due.
        """
        leader = leader or self.leader
        for _ in range(_MOST_STEPS):
            if leader.step() > 0:
                return
        raise AssertionError(f"the leader does not become idle: after {_MOST_STEPS} steps another step is due")

    def ticks(self) -> list[Tick]:
        """Return all kept ticks, ascending."""
        return self.store.ticks_after(0, 1_000_000)

    def _new_id(self) -> str:
        return f"{next(self._ids):012x}{0:020x}"
