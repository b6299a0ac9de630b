"""Everything outside clocksvc: topics, consumer groups, logs, the store, and the truth of what was processed.

It checks nothing. The truth is noted before a consumer reports it.
"""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.topics import TimestampType
from clocksvc.memory.store_access import StoreContent
from clocksvc.memory.topics import TopicRecord
from tests.faulty.fenced_log import Transaction
from tests.faulty.tick_log import FaultyLog
from tests.faulty.topics import FaultyTopics
from tests.simulation.world.clock_plan import JITTER_MS, ClockPlan, plan_clocks
from tests.simulation.world.scheduler import Scheduler, SimulatedTime
from tests.simulation.world.store_control import StoreControl

INSTALLATION = Installation("sim", "redis:6379")
OLDEST_MS = 1_000_000_000_000
"""No record of this world is older. Lower numbers are no milliseconds."""
MINUTES_MS = (-300_000, -90_000, 90_000, 300_000)
HONEST, OTHER = b"honest", b"other"
CREATED, APPENDED = b"created", b"appended"
"""The keys of records: the timestamp type of their batch."""

GroupPartition = tuple[str, Partition]
"""A consumer group and one of the partitions that it reads."""


@dataclass(slots=True)
class Truth:
    """What one group has processed of one partition of one incarnation of a topic.

    Attributes:
        recreated: the topic had existed before.
        processed_ms: the highest honest timestamp processed; None before the first.
        offset: the first offset not yet processed. committed: the group's offset.
        lies: processed timestamps that are wrong, or were in the future.
        reported_ms: the highest timestamp of this partition that was reported to the store.
        known_ms: the highest timestamp that the store had for the old topic when this one replaced it. The store
            recognizes reports of the old topic up to this.
        waited_ms: the last tick that waited for this partition.
        retyped: the topic's timestamp type has changed, so its timestamps may go back by more than the configured
            out-of-orderness.
    """

    recreated: bool = False
    processed_ms: int | None = None
    offset: int = 0
    committed: int = 0
    lies: list[int] = field(default_factory=list)
    reported_ms: int = 0
    known_ms: int = 0
    waited_ms: int = 0
    retyped: bool = False

    def process(self, offset: int, record: TopicRecord, now_ms: int, ahead: Collection[int]) -> bool:
        """Note that a record was handled and is durable. True if it is an honest one, for the first time.

        `ahead` has timestamps of heartbeats that were in the future when they were written.
        """
        if offset < self.offset:
            return False
        self.offset = offset + 1
        timestamp_ms, honest = record.timestamp_ms, record.value is HONEST
        if timestamp_ms < OLDEST_MS:
            return honest  # it has no timestamp, or one in another unit: it must not count
        if record.value is OTHER or timestamp_ms in ahead:
            self.lies.append(timestamp_ms)
        if timestamp_ms <= now_ms and (self.processed_ms is None or timestamp_ms > self.processed_ms):
            self.processed_ms = timestamp_ms
        return honest

    def reached_ms(self, limit_ms: int) -> int:
        """The highest timestamp processed, if the store rejects what is above a limit; -1 if there is none."""
        reached_ms = -1 if self.processed_ms is None else self.processed_ms
        old = [self.reported_ms] if self.recreated and self.reported_ms > self.known_ms else []
        counted = [lie for lie in (*self.lies, *old) if lie <= limit_ms]
        return max([reached_ms, *counted])

    def lied(self, limit_ms: int) -> bool:
        """True if a wrong timestamp may have advanced it further than the truth."""
        return any(0 <= lie <= limit_ms for lie in self.lies)


@dataclass(slots=True)
class Commits:
    """Who writes one log. The names are processes; "" before the first.

    Attributes:
        fenced_by: the process that fenced last.
        writers: the process that began each transaction, by the transaction's identity.
        foreign: transactions of other programs.
    """

    fenced_by: str = ""
    writers: dict[int, tuple[Transaction, str]] = field(default_factory=dict)
    foreign: list[Transaction] = field(default_factory=list)

    def writer_of(self, transaction: Transaction) -> str:
        """Return the process that began a transaction."""
        return self.writers.get(id(transaction), (transaction, ""))[1]

    def newest_of(self, process: str) -> Transaction | None:
        """Return the newest transaction of a process."""
        return next((own for own, writer in reversed(self.writers.values()) if writer == process), None)

    def is_foreign(self, transaction: Transaction | None) -> bool:
        """True for a transaction of another program, and for a record without a transaction."""
        return transaction is None or any(transaction is one for one in self.foreign)


class Environment:
    """The truth, and all implementations.

    Attributes:
        clocks: the clocks of this world, by name, with their present configuration.
        logs: the logs of these clocks.
        owners: which consumer process reads which partition for which group. A missing one has no reader.
        muted: partitions without a producer. cut: those whose consumer never comes back.
        in_seconds: the groups whose consumers report seconds instead of milliseconds.
        rolled_back: the store went back to an older state at least once.
        records: how many were processed for the first time.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        rng = scheduler.rng
        self.time = SimulatedTime(scheduler, rng.choice((0, 0, -200, 200)))
        self.recent_ms = rng.choice((4_000, 15_000, 86_400_000))
        self.clocks: dict[str, ClockPlan] = {plan.name: plan for plan in plan_clocks(rng)}
        self.access = StoreControl(self.time, dict.fromkeys(self.clocks, self.recent_ms))
        self.logs = {
            number: FaultyLog(time=self.time, topic_id=f"log-{number}")
            for number in sorted({log_of(name) for name in self.clocks})
        }
        self.commits = {number: Commits() for number in self.logs}
        self.topics = FaultyTopics("cluster")
        self.topic_names = sorted({topic for plan in self.clocks.values() for topic in plan.spec.topics})
        self.truths: dict[tuple[str, str, int], Truth] = {}
        self.owners: dict[GroupPartition, str] = {}
        self.cut: set[GroupPartition] = set()
        self.muted: set[Partition] = set()
        self.in_seconds: set[str] = set()
        self.ahead: dict[tuple[str, int], set[int]] = {}
        self.rolled_back = False
        self.records = 0
        self.store_answered = False
        self._ids: dict[str, str] = {}
        self._former_ids: dict[str, list[str]] = {}
        self._groups: dict[str, list[str]] = {}
        self._partitions: list[Partition] = []
        for name in self.topic_names:
            kinds = {plan.append_time for plan in self.clocks.values() if name in plan.spec.topics}
            self.make_topic(name, rng.randrange(1, 3), append_time=False not in kinds)
        self.add_groups()

    @property
    def rng(self) -> random.Random:
        return self.scheduler.rng

    # -- clocks and groups --------------------------------------------------------------------------------------------

    def specs(self, log: int) -> dict[str, ClockSpec]:
        """Return the present configuration of the clocks of a log."""
        return {name: plan.spec for name, plan in self.clocks.items() if log_of(name) == log}

    def add_groups(self) -> None:
        """Note which groups read which topics: those of the clocks that watch them. New ones begin at offset 0."""
        self._groups = {topic: [] for topic in self._ids}
        for plan in self.clocks.values():
            for topic in plan.spec.topics:
                self._groups[topic] += plan.groups
                for group in plan.groups:
                    for number in range(self.topics.metadata(topic).partitions):
                        self.truths.setdefault((group, self._ids[topic], number), Truth())
        self.owners = {owned: one for owned, one in self.owners.items() if owned[0] in self._groups[owned[1].topic]}

    def group_partitions(self, group: str) -> list[Partition]:
        """Return the partitions that a group reads."""
        return [partition for partition in self._partitions if group in self._groups.get(partition.topic, ())]

    def clock_partitions(self, clock: str) -> list[Partition]:
        """Return the partitions of a clock's topics that exist."""
        topics = self.clocks[clock].spec.topics
        return [partition for partition in self._partitions if partition.topic in topics]

    def clocks_of(self, topic: str) -> list[str]:
        """Return the clocks that watch a topic."""
        return [name for name, plan in self.clocks.items() if topic in plan.spec.topics]

    # -- topics -------------------------------------------------------------------------------------------------------

    def partitions(self) -> list[Partition]:
        """Return the partitions that exist."""
        return self._partitions

    def truth(self, group: str, partition: Partition) -> Truth:
        """Return the truth of a group's partition, of the topic that exists now."""
        return self.truths[group, self._ids[partition.topic], partition.number]

    def topic_ids_since(self, topic: str, id: str) -> list[str]:
        """Return an id that a topic has or had, and all ids after it, the present one last."""
        ids = [*self._former_ids.get(topic, ()), self._ids[topic]]
        return ids[ids.index(id) :]

    def is_present(self, group: str, partition: Partition, truth: Truth) -> bool:
        """True if a truth is that of a partition that exists now."""
        return self.truths.get((group, self._ids[partition.topic], partition.number)) is truth

    def append_time(self, topic: str) -> bool:
        """True if brokers set the timestamps of a topic."""
        return self.topics.real_timestamp_type(topic) is TimestampType.LOG_APPEND_TIME

    def make_topic(self, name: str, partitions: int, *, append_time: bool) -> None:
        """Create or recreate a topic: with another id, without records, and with all groups at offset 0."""
        kind = TimestampType.LOG_APPEND_TIME if append_time else TimestampType.CREATE_TIME
        metadata = self.topics.create(name, partitions, kind)
        old_id = self._ids.get(name)
        if old_id is not None:
            self._former_ids.setdefault(name, []).append(old_id)
        self._ids[name] = metadata.id
        for group in self._groups.get(name, ()):
            lies = [
                lie for (g, id, _), truth in self.truths.items() if (g, id) == (group, old_id) for lie in truth.lies
            ]
            known_ms = self.access.highest_known_ms(self._clock_of(group), name)
            for number in range(partitions):
                self.truths[group, metadata.id, number] = Truth(True, lies=list(lies), known_ms=known_ms)
        self._list_partitions()

    def add_partition(self, name: str) -> Partition:
        """Add a partition to a topic."""
        metadata = self.topics.add_partitions(name, 1)
        partition = Partition(name, metadata.partitions - 1)
        for group in self._groups.get(name, ()):
            first = self.truths[group, metadata.id, 0]  # the old topic may have had this partition, too
            self.truths[group, metadata.id, partition.number] = Truth(
                first.recreated, known_ms=first.known_ms, retyped=first.retyped
            )
        self._list_partitions()
        return partition

    def change_timestamp_type(self, name: str) -> None:
        """Brokers set the timestamps from now on, or producers do."""
        kind = TimestampType.CREATE_TIME if self.append_time(name) else TimestampType.LOG_APPEND_TIME
        self.topics.set_timestamp_type(name, kind)
        for group in self._groups.get(name, ()):
            for number in range(self.topics.metadata(name).partitions):
                self.truths[group, self._ids[name], number].retyped = True

    def _clock_of(self, group: str) -> str:
        return next(name for name, plan in self.clocks.items() if group in plan.groups)

    def _list_partitions(self) -> None:
        self._partitions = [
            Partition(name, number) for name in self._ids for number in range(self.topics.metadata(name).partitions)
        ]
        present = set(self._partitions)
        for gone in [owned for owned in self.owners if owned[1] not in present]:
            del self.owners[gone]
        self.muted &= present
        self.cut = {one for one in self.cut if one[1] in present}

    # -- records ------------------------------------------------------------------------------------------------------

    def produce(self, partition: Partition) -> None:
        """Write an honest record. It arrives at most the jitter after its timestamp."""
        jitter_ms = 0 if self.append_time(partition.topic) else self.rng.randrange(JITTER_MS)
        self._put(partition, self.scheduler.now_ms - jitter_ms, HONEST)

    def produce_old(self, partition: Partition, timestamp_ms: int) -> None:
        """Write an honest record of the past, before the clock's first tick."""
        self.topics.append_time_ms = None
        key = APPENDED if self.append_time(partition.topic) else CREATED
        self.topics.put(partition, TopicRecord(timestamp_ms, key, HONEST))

    def poison(self, partition: Partition, timestamp_ms: int) -> None:
        """Write a record of a producer whose clock is wrong."""
        self._put(partition, timestamp_ms, OTHER)

    def note_heartbeats(self, partitions: Collection[Partition], timestamp_ms: int) -> None:
        """Heartbeats are written. Brokers set their timestamps, too, if they set those of records."""
        self.topics.append_time_ms = self.scheduler.now_ms
        if timestamp_ms > self.scheduler.now_ms:
            for partition in set(partitions) & set(self._partitions):
                if not self.append_time(partition.topic):
                    key = (self._ids[partition.topic], partition.number)
                    self.ahead.setdefault(key, set()).add(timestamp_ms)

    def process(self, group: str, partition: Partition, truth: Truth, offset: int, record: TopicRecord) -> bool:
        """A consumer has handled a record, durably. True if it is an honest one, for the first time."""
        if offset >= truth.offset:
            self.records += 1
        ahead = self.ahead.get((self._ids[partition.topic], partition.number), ())
        return truth.process(offset, record, self.scheduler.now_ms, ahead)

    def _put(self, partition: Partition, timestamp_ms: int, value: bytes) -> None:
        if self.append_time(partition.topic):
            self.topics.append_time_ms = timestamp_ms = self.scheduler.now_ms
            self.topics.put(partition, TopicRecord(timestamp_ms, APPENDED, HONEST))
            return
        self.topics.put(partition, TopicRecord(timestamp_ms, CREATED, value))

    # -- the store ----------------------------------------------------------------------------------------------------

    def store_forgot(self, clock: str | None = None, topics: Collection[str] | None = None) -> None:
        """The store has lost old topics: it was emptied or rolled back, or a roster is without them."""
        groups = None if clock is None else set(self.clocks[clock].groups)
        ids = None if topics is None else {self._ids[name] for name in topics if name in self._ids}
        for (group, id, _), truth in self.truths.items():
            if (groups is None or group in groups) and (ids is None or id in ids):
                truth.known_ms = 0

    def wipe_store(self) -> None:
        """FLUSHALL."""
        self.access.wipe()
        self.store_forgot()

    def roll_store_back(self, state: StoreContent, *, failover: bool) -> None:
        """Replace the store's content by an older one: by a restart, or by a failover to a replica that lagged."""
        self.rolled_back = True
        (self.access.fail_over if failover else self.access.restore)(state)
        self.store_forgot()

    def all_groups(self) -> Iterator[tuple[str, str]]:
        """Yield the groups that exist, with the clocks to which they report."""
        for name, plan in self.clocks.items():
            for group in plan.groups:
                yield group, name

    def log_of(self, clock: str) -> FaultyLog:
        """Return the log of a clock."""
        return self.logs[log_of(clock)]
