"""Everything outside clocksvc in the simulation: topics, a consumer group, and the truth of what was processed, noted
before it is reported. It checks nothing."""

import copy
import random
from collections.abc import Collection
from dataclasses import dataclass, field, fields

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.interfaces.topics import TimestampType
from clocksvc.memory.store_state import StoreState
from clocksvc.memory.topics import TopicRecord
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyLog, Transaction
from tests.faulty.topics import FaultyTopics
from tests.simulation.scheduler import Scheduler, SimulatedTime
from tests.simulation.violation import Violation

CLOCK = "sim"
GROUP = "g"
MAX_FUTURE_MS = 60_000
HOLD_AFTER_MS = 3_000
JITTER_MS = 300
"""The most that an honest record comes after its timestamp."""
MINUTES_MS = (-300_000, -90_000, 90_000, 300_000)
HONEST, OTHER = b"honest", b"other"


@dataclass(slots=True)
class Truth:
    """One partition of one incarnation of a topic.

    Attributes:
        recreated: the topic had existed before.
        processed_ms: the highest honest timestamp processed; None before the first.
        offset: the first offset not yet processed. committed: the group's offset.
        ahead: timestamps of heartbeats that were in the future when they were put.
        lies: processed timestamps that are wrong, or were in the future.
        told_ms: the highest timestamp of this partition that was reported to the store.
        known_ms: up to where the store knew the old topic when this one replaced it: below that it knows better.
        waited_ms: the last tick that waited for this partition.
    """

    recreated: bool = False
    processed_ms: int | None = None
    offset: int = 0
    committed: int = 0
    ahead: set[int] = field(default_factory=set)
    lies: list[int] = field(default_factory=list)
    told_ms: int = 0
    known_ms: int = 0
    waited_ms: int = 0

    def processed(self, offset: int, record: TopicRecord, now_ms: int) -> bool:
        """Note that a record was handled and is durable. Returns whether it is an honest one, for the first time."""
        if offset < self.offset:
            return False
        self.offset = offset + 1
        timestamp_ms, honest = record.timestamp_ms, record.value is HONEST
        if record.value is OTHER or timestamp_ms in self.ahead:
            self.lies.append(timestamp_ms)
        if timestamp_ms <= now_ms and (self.processed_ms is None or timestamp_ms > self.processed_ms):
            self.processed_ms = timestamp_ms
        return honest

    def reached_ms(self, limit_ms: int) -> int:
        """How far the partition was processed at most, if the store rejects what is above a limit; -1 for not at
        all."""
        reached_ms = -1 if self.processed_ms is None else self.processed_ms
        told = [self.told_ms] if self.recreated and self.told_ms > self.known_ms else []
        counted = [lie for lie in (*self.lies, *told) if lie <= limit_ms]
        return max([reached_ms, *counted])

    def lied(self, limit_ms: int) -> bool:
        """Whether a wrong timestamp may have carried it further than the truth."""
        return any(0 <= lie <= limit_ms for lie in self.lies)


class Environment:
    """The truth, and all implementations.

    Attributes:
        truths: by topic id and number; `truth` finds the present one.
        owners: which consumer process reads which partition; a partition that is missing has no reader.
        muted: partitions without producer. cut: those whose consumer never comes back.
        foreign: transactions on the tick log that are not ours.
        writing: the process whose transaction was begun last.
        fenced_by: the process that fenced last.
        records: how many were processed for the first time.
        snapshots: states that the store may return to. snapshot_before_publish, snapshot_before_roster: one is taken
            before each of these writes.
        store_answered: whether the store answered this round of heartbeats.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler, rng = scheduler, scheduler.rng
        self.time = SimulatedTime(scheduler, rng.choice((0, 0, 0, -400, 400, rng.choice(MINUTES_MS[2:]))))
        append_time = rng.random() < 0.12
        self.topic_names = ("events", "orders") if rng.random() < 0.25 else ("events",)
        self.spec = ClockSpec(
            name=CLOCK,
            topics=self.topic_names,
            group=GROUP,
            tick_log="sim-ticks",
            interval_ms=1_000,
            max_out_of_orderness_ms=None if append_time or rng.random() < 0.05 else JITTER_MS,
            max_future_ms=MAX_FUTURE_MS,
            hold_after_ms=HOLD_AFTER_MS,
            recent_ticks_ms=60_000 if rng.random() < 0.5 else 86_400_000,
            heartbeat=HeartbeatSpec(every_ms=1_000),
        )
        self.out_of_orderness_ms = self.spec.max_out_of_orderness_ms
        if self.out_of_orderness_ms is None:
            self.out_of_orderness_ms = 0 if append_time else 10_000
        self.jitter_ms = 1 if append_time else JITTER_MS
        self.append_time = append_time
        self.recent_ms = rng.choice((4_000, 15_000, 86_400_000))
        self.store = FaultyStore(CLOCK, self.time, self.recent_ms)
        self.log = FaultyLog(topic_id="log-1")
        self.topics = FaultyTopics("cluster")
        self.truths: dict[tuple[str, int], Truth] = {}
        self.owners: dict[Partition, str] = {}
        self.muted: set[Partition] = set()
        self.cut: set[Partition] = set()
        self.foreign: list[Transaction] = []
        self.writing = self.fenced_by = ""
        self.records = 0
        self.snapshots: list[StoreState] = []
        self.snapshot_before_publish = self.snapshot_before_roster = False
        self.store_answered = False
        self._ids: dict[str, str] = {}
        self._partitions: list[Partition] = []
        for name in self.topic_names:
            self.make_topic(name, rng.randrange(1, 4))

    @property
    def rng(self) -> random.Random:
        return self.scheduler.rng

    def partitions(self) -> list[Partition]:
        """The partitions that exist."""
        return self._partitions

    def truth(self, partition: Partition) -> Truth:
        """The present truth of a partition."""
        return self.truths[self._ids[partition.topic], partition.number]

    def store_forgot(self, topics: Collection[str] | None = None) -> None:
        """The store has lost old topics: it was emptied or rolled back, or a roster is without them."""
        ids = {self._ids[name] for name in self._ids if topics is None or name in topics}
        for (id, _), truth in self.truths.items():
            if id in ids:
                truth.known_ms = 0

    def wipe_store(self) -> None:
        """FLUSHALL."""
        self.store.wipe()
        self.store_forgot()

    def take_snapshot(self) -> None:
        """The store writes a snapshot; the last few are kept."""
        state = copy.copy(self.store._state)  # with its containers, whose values never change: cheaper than a deep copy
        for held in fields(StoreState):
            value = getattr(state, held.name)
            if isinstance(value, dict | list | set):
                setattr(state, held.name, value.copy())
        self.snapshots[:] = [*self.snapshots[-2:], state]

    def roll_store_back(self, state: StoreState) -> None:
        """Replace the store's state by a snapshot."""
        self.store.restore(state)
        self.store_forgot()

    def is_present(self, partition: Partition, truth: Truth) -> bool:
        """Whether a truth is that of a partition that exists now."""
        return self.truths.get((self._ids[partition.topic], partition.number)) is truth

    def make_topic(self, name: str, partitions: int) -> None:
        """Create or recreate a topic: with another id, without its records, the group's offsets at 0."""
        kind = TimestampType.LOG_APPEND_TIME if self.append_time else TimestampType.CREATE_TIME
        shape = self.topics.create(name, partitions, kind)
        recreated = name in self._ids
        known = [known_ms or 0 for partition, known_ms in self.store._state.clocks.items() if partition.topic == name]
        lies = [lie for (id, _), truth in self.truths.items() if id == self._ids.get(name) for lie in truth.lies]
        self._ids[name] = shape.id
        for number in range(partitions):
            self.truths[shape.id, number] = Truth(recreated, lies=list(lies), known_ms=max(known, default=0))
        self._list_partitions()

    def add_partition(self, name: str) -> Partition:
        """Add a partition to a topic."""
        shape = self.topics.add_partitions(name, 1)
        partition = Partition(name, shape.partitions - 1)
        first = self.truths[shape.id, 0]  # the old topic of this name may have had this partition, too
        self.truths[shape.id, partition.number] = Truth(first.recreated, known_ms=first.known_ms)
        self._list_partitions()
        return partition

    def produce(self, partition: Partition) -> None:
        """An honest record: it comes at most the jitter after its timestamp."""
        self._put(partition, self.scheduler.now_ms - self.rng.randrange(self.jitter_ms), HONEST)

    def poison(self, partition: Partition, timestamp_ms: int) -> None:
        """A record of a producer whose clock is wrong."""
        self._put(partition, timestamp_ms, OTHER)

    def beaten(self, whose: SimulatedTime, partitions: Collection[Partition], timestamp_ms: int) -> None:
        """Heartbeats are sent. Brokers stamp them too, if they stamp records."""
        passed_ms = min(self.time.peak_ms, whose.peak_ms) if self.store_answered else whose.peak_ms
        if timestamp_ms > passed_ms:
            raise Violation(
                f"early: a heartbeat has {timestamp_ms}, which its own and the store's clock have not passed"
            )
        self.topics.append_time_ms = self.scheduler.now_ms if self.append_time else None
        if timestamp_ms > self.scheduler.now_ms and not self.append_time:
            for partition in set(partitions) & set(self._partitions):
                self.truth(partition).ahead.add(timestamp_ms)

    def process(self, partition: Partition, truth: Truth, offset: int, record: TopicRecord) -> bool:
        """A consumer has handled a record, durably. Returns whether it is an honest one, for the first time."""
        if offset >= truth.offset:
            self.records += 1
        return truth.processed(offset, record, self.scheduler.now_ms)

    def _put(self, partition: Partition, timestamp_ms: int, value: bytes) -> None:
        if self.append_time:
            self.topics.append_time_ms = timestamp_ms = self.scheduler.now_ms
            value = HONEST
        self.topics.put(partition, TopicRecord(timestamp_ms, None, value))

    def _list_partitions(self) -> None:
        self._partitions = [
            Partition(name, number) for name in self._ids for number in range(self.topics.metadata(name).partitions)
        ]
        present = set(self._partitions)
        for gone in [partition for partition in self.owners if partition not in present]:
            del self.owners[gone]
        self.muted &= present
        self.cut &= present
