"""Topics with their incarnations, committed offsets of groups, and the clocks of brokers."""

from collections.abc import Callable

from clocksvc.clock.partition import Partition
from tests.observer_simulation.plan import Plan
from tests.observer_simulation.sometimes import Path, Sometimes
from tests.observer_simulation.world.log import PartitionLog, Record, TransactionPart
from tests.observer_simulation.world.timeline import SkewedTime, Timeline

BROKERS = 3
METADATA_DELAY_MS = 1_500
"""How long a broker's metadata can be out of date."""


class Cluster:
    """A Kafka cluster.

    Attributes:
        topics: the partitions of the present incarnation of each topic.
        offsets: the committed offsets of each group. A commit names the topic, not its incarnation.
        unavailable_until_ms: until then, the coordinator of a group does not answer.
        refused_until_ms: until then, the observer may not read the offsets of a group.
        appended: called with each record that is appended.
    """

    def __init__(self, timeline: Timeline, plan: Plan, sometimes: Sometimes) -> None:
        self.timeline, self.plan, self.sometimes = timeline, plan, sometimes
        self.topics: dict[str, list[PartitionLog]] = {}
        self.offsets: dict[str, dict[Partition, int]] = {}
        self.unavailable_until_ms: dict[str, int] = {}
        self.refused_until_ms: dict[str, int] = {}
        self.brokers = [self.skewed() for _ in range(BROKERS)]
        self.appended: Callable[[PartitionLog, Record], None] = lambda log, record: None
        self._former: dict[str, tuple[int, tuple[str, int] | None]] = {}
        self._incarnations: dict[str, int] = {}

    def skewed(self) -> SkewedTime:
        """The clock of a machine, within the skew of the plan."""
        half = self.plan.skew_ms // 2
        return SkewedTime(self.timeline, self.timeline.rng.randint(-half, half))

    # -- topics -------------------------------------------------------------------------------------------------------

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic."""
        self._incarnations[topic] = self._incarnations.get(topic, 0) + 1
        self._remember(topic)
        self.topics[topic] = [self._partition(topic, number) for number in range(partitions)]

    def add_partition(self, topic: str) -> PartitionLog:
        """Add a partition to a topic."""
        self._remember(topic)
        logs = self.topics[topic]
        logs.append(self._partition(topic, len(logs), logs[0].topic_id))
        return logs[-1]

    def recreate(self, topic: str) -> None:
        """Delete a topic, and create it again. Kafka deletes the offsets that groups have committed."""
        logs = self.topics[topic]
        for log in logs:
            log.delete()
        for offsets in self.offsets.values():
            for log in logs:
                offsets.pop(Partition(topic, log.number), None)
        self.create(topic, len(logs))

    def described(self, topic: str, *, old: bool = False) -> tuple[str, int]:
        """The id and the number of partitions of a topic; with `old`, of a broker whose metadata can be out of date."""
        until_ms, former = self._former.get(topic, (0, None))
        if old and former is not None and self.timeline.now_ms < until_ms:
            return former
        return self.topics[topic][0].topic_id, len(self.topics[topic])

    def log(self, partition: Partition) -> PartitionLog | None:
        """The present incarnation of a partition."""
        logs = self.topics[partition.topic]
        return logs[partition.number] if partition.number < len(logs) else None

    def _partition(self, topic: str, number: int, topic_id: str = "") -> PartitionLog:
        broker = self.timeline.rng.randrange(BROKERS)
        return PartitionLog(topic, number, topic_id or f"{topic}-{self._incarnations[topic]}", broker)

    def _remember(self, topic: str) -> None:
        if topic in self.topics:
            until_ms = self.timeline.now_ms + self.timeline.rng.randint(0, METADATA_DELAY_MS)
            self._former[topic] = until_ms, self.described(topic)

    # -- records ------------------------------------------------------------------------------------------------------

    def append(self, log: PartitionLog, timestamp_ms: int | None, part: TransactionPart | None = None) -> Record:
        """Append a record; None is LogAppendTime."""
        record = log.append(self.brokers[log.broker].now_ms() if timestamp_ms is None else timestamp_ms, part)
        log.advance(self.timeline.now_ms)
        self.appended(log, record)
        return record

    def elect(self, log: PartitionLog, without_leader_ms: int) -> None:
        """Elect another leader. All its records stay."""
        log.broker = (log.broker + self.timeline.rng.randint(1, BROKERS - 1)) % BROKERS
        log.epoch += 1
        log.available_from_ms = self.timeline.now_ms + without_leader_ms
        self.timeline.after(without_leader_ms, lambda: log.advance(self.timeline.now_ms))

    def stall(self, log: PartitionLog, duration_ms: int) -> None:
        """Keep what is appended above the high watermark for a time."""
        if self.timeline.now_ms >= log.stalled_until_ms:
            log.stalled_until_ms = self.timeline.now_ms + duration_ms
            self.timeline.after(duration_ms, lambda: log.advance(self.timeline.now_ms))

    # -- groups -------------------------------------------------------------------------------------------------------

    def commit(self, group: str, partition: Partition, offset: int) -> None:
        """Commit an offset."""
        self.timeline.say(f"{group} commits {offset} on {partition}")
        offsets = self.offsets.setdefault(group, {})
        if offset < offsets.get(partition, 0):
            self.sometimes.took(Path.COMMITTED_BACK)
        offsets[partition] = offset

    def committed(self, group: str, partition: Partition) -> int | None:
        """The committed offset."""
        return self.offsets.get(group, {}).get(partition)
