"""The topic of schedules: what writers append, what the judge sees, and how one replica reads it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from clocksvc.errors import TableUnavailable
from clocksvc.interfaces.compacted_topic import CleanupSettings, Polled, TopicInspection
from clocksvc.memory.compacted_topic import MemoryCompactedTopic, MemoryTopicReader
from tests.simulation.world.scheduler import Scheduler

DELETE_RETENTION_MS = 60_000
CUT_S = 1.0
"""How long a call takes that gets no answer from Kafka."""


@dataclass
class Link:
    """The faults of one replica's connections.

    Attributes:
        store_cut, kafka_cut: no call gets through.
        answers_lost: how many of the store's next answers are lost, though the calls were executed.
        slow_s: how long each read of the topic of schedules takes, in seconds.
        ticks_upto: how many ticks the replica has received; None for all.
    """

    store_cut: bool = False
    kafka_cut: bool = False
    answers_lost: int = 0
    slow_s: float = 0.0
    ticks_upto: int | None = None

    def heal(self) -> None:
        """End all faults."""
        self.store_cut = self.kafka_cut = False
        self.answers_lost, self.slow_s, self.ticks_upto = 0, 0.0, None


Wrote = Callable[[int, int, bytes, bytes | None, int], None]
"""Gets the partition, offset, key, value and moment of a record that readers of committed records can read."""


class _Memory(MemoryCompactedTopic):
    """Counts its changes, so that looking for news costs nothing."""

    changes = 0

    def append(self, partition: int, key: bytes | None, value: bytes | None, timestamp_ms: int = -1) -> int:
        self.changes += 1
        return super().append(partition, key, value, timestamp_ms)

    def skip(self, partition: int, offsets: int) -> None:
        self.changes += 1
        super().skip(partition, offsets)

    def remove_tombstones(self, partition: int, before_ms: int) -> None:
        """Remove tombstones that were written before a time."""
        with self._lock:
            log = self._logs[partition]
            log.records = [one for one in log.records if one.value() is not None or one.timestamp()[1] >= before_ms]


class ObservedTopic:
    """The topic. `observe` shows the judge what readers of committed records can read by now.

    It is called after each step, before each tick, and before a compaction, so the judge misses no record.
    """

    def __init__(self, scheduler: Scheduler, wrote: Wrote, partitions: int) -> None:
        self._scheduler, self._wrote = scheduler, wrote
        self.memory = _Memory("c-schedules", partitions)
        self.memory.cleanup = CleanupSettings("compact", DELETE_RETENTION_MS)
        self.partitions = partitions
        self._seen = [0] * partitions
        self._changes = 0
        self.records = 0

    def observe(self) -> None:
        """Give the judge the records that can be read since the last call."""
        if self._changes == self.memory.changes:
            return
        self._changes = self.memory.changes
        for partition, offset in enumerate(self._seen):
            read = self.memory.read(partition, offset, 1_000_000)
            assert read is not None
            records, self._seen[partition], _ = read
            for record in records:
                key = record.key()
                assert key is not None
                moment = self._scheduler.moment()
                self._wrote(partition, record.offset(), key, record.value(), moment)
                self.records += 1

    def compact(self, partition: int, *, tombstones: bool) -> None:
        """Remove older records of each key, and if wanted, tombstones after `delete.retention.ms`."""
        self.observe()
        self.memory.compact(partition, tombstones=False)
        if tombstones:
            self.memory.remove_tombstones(partition, self._scheduler.now_ms - DELETE_RETENTION_MS)

    def end(self, partition: int) -> int:
        """Return the end offset of a partition."""
        found = self.memory.inspect([partition])
        return found.bounds[partition].end


class ReplicaTopic:
    """Implements CompactedTopic for one replica: other processes may run before and after each call."""

    def __init__(self, scheduler: Scheduler, topic: ObservedTopic, link: Link) -> None:
        self._scheduler, self._topic, self._link = scheduler, topic, link
        self._reader: MemoryTopicReader = topic.memory.open()
        self._started: set[int] = set()

    def inspect(self, partitions: Collection[int] | None) -> TopicInspection | None:
        self._reach("table.inspect")
        found = self._reader.inspect(partitions)
        self._scheduler.between("table.inspect done")
        return found

    def cleanup_settings(self) -> CleanupSettings:
        self._reach("table.settings")
        return self._reader.cleanup_settings()

    def start(self, offsets: Mapping[int, int]) -> None:
        self._reader.start(offsets)
        self._started.update(offsets)

    def stop(self, partitions: Collection[int]) -> None:
        self._reader.stop(partitions)
        self._started.difference_update(partitions)

    def poll(self, timeout_s: float) -> Polled:
        self._scheduler.between("table.poll")
        if self._link.kafka_cut:
            self._scheduler.wait(timeout_s)
            return Polled(failures=dict.fromkeys(self._started, "Kafka can't be reached"))
        if self._link.slow_s:
            self._scheduler.wait(self._link.slow_s)
        found = self._reader.poll(0)
        if not (found.records or found.ends or found.out_of_range) and timeout_s:
            memory = self._topic.memory
            changes = memory.changes
            self._scheduler.wait(timeout_s, lambda: memory.changes != changes)
            found = self._reader.poll(0)
        return found

    def close(self) -> None:
        self._reader.close()

    def _reach(self, step: str) -> None:
        self._scheduler.between(step)
        if self._link.kafka_cut:
            self._scheduler.wait(CUT_S, lambda: not self._link.kafka_cut)
            if self._link.kafka_cut:
                raise TableUnavailable("Kafka can't be reached")
