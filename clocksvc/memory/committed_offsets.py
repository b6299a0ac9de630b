"""A Kafka cluster in memory, as the observer of committed offsets sees it."""

import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.committed_offsets import FoundRecord, GroupOffsets, PartitionEnds, ReadRequest, ReadResult


@dataclass(slots=True)
class MemoryTransaction:
    """A transaction of a producer. It is open until `MemoryCommittedOffsets.finish`.

    Attributes:
        began: the offset of its first record in each partition.
    """

    committed: bool | None = None
    began: dict[Partition, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record, or the marker that ends a transaction."""

    timestamp_ms: int
    marker: bool = False
    transaction: MemoryTransaction | None = None
    create_time: bool = True

    @property
    def visible(self) -> bool:
        return not self.marker and (self.transaction is None or self.transaction.committed is True)


@dataclass(slots=True)
class MemoryPartition:
    """One partition. Tests may change all attributes.

    Attributes:
        entries: by offset. Compacted records are absent.
        low, end: the low watermark, and the offset of the next record.
        unreplicated: how many of the newest offsets are above the high watermark.
        epoch: the leader's epoch.
        reachable: False if the leader does not answer.
    """

    entries: dict[int, _Entry] = field(default_factory=dict)
    low: int = 0
    end: int = 0
    unreplicated: int = 0
    epoch: int = 0
    reachable: bool = True
    open: list[MemoryTransaction] = field(default_factory=list)

    @property
    def high(self) -> int:
        """The high watermark."""
        return max(self.low, self.end - self.unreplicated)


class MemoryCommittedOffsets:
    """`CommittedOffsets` of one cluster, with methods to fill it. Safe to use from several threads.

    Attributes:
        problems: why requests about a topic fail, by topic.
        refused: why the offsets of a group are not known, by group.
        unreachable_groups: the groups whose coordinator does not answer.
    """

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.unreachable_groups: set[str] = set()
        self._topics: dict[str, tuple[str, list[MemoryPartition]]] = {}
        self._offsets: dict[str, dict[Partition, int]] = {}
        self._lock = threading.RLock()

    # -- what producers, brokers and consumers do ----------------------------------------------------------------------

    def create(self, topic: str, partitions: int, topic_id: str | None = None) -> str:
        """Create a topic, or recreate it with another id and without records. Return its id.

        Committed offsets stay: Kafka removes them, but members of a group that still run commit them again.
        """
        with self._lock:
            topic_id = topic_id or uuid.uuid4().hex
            self._topics[topic] = topic_id, [MemoryPartition() for _ in range(partitions)]
            return topic_id

    def add_partitions(self, topic: str, more: int) -> None:
        """Add partitions to a topic."""
        with self._lock:
            self._topics[topic][1].extend(MemoryPartition() for _ in range(more))

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        with self._lock:
            del self._topics[topic]

    def partition(self, partition: Partition) -> MemoryPartition:
        """Return a partition, to look at or to change."""
        with self._lock:
            return self._topics[partition.topic][1][partition.number]

    def append(
        self,
        partition: Partition,
        *timestamps_ms: int,
        transaction: MemoryTransaction | None = None,
        create_time: bool = True,
    ) -> int:
        """Append records, with the timestamp type CreateTime or LogAppendTime. Return the offset after the last one."""
        with self._lock:
            one = self.partition(partition)
            if transaction is not None and partition not in transaction.began:
                transaction.began[partition] = one.end
                one.open.append(transaction)
            for timestamp_ms in timestamps_ms:
                one.entries[one.end] = _Entry(timestamp_ms, transaction=transaction, create_time=create_time)
                one.end += 1
            return one.end

    def finish(self, transaction: MemoryTransaction, timestamp_ms: int, *, commit: bool = True) -> None:
        """Commit or abort a transaction. Each of its partitions gets a marker with the coordinator's wall time."""
        with self._lock:
            transaction.committed = commit
            for partition in transaction.began:
                one = self.partition(partition)
                one.open.remove(transaction)
                one.entries[one.end] = _Entry(timestamp_ms, marker=True, transaction=transaction)
                one.end += 1

    def compact(self, partition: Partition, *offsets: int) -> None:
        """Remove records. Watermarks stay."""
        with self._lock:
            for offset in offsets:
                del self.partition(partition).entries[offset]

    def delete_before(self, partition: Partition, offset: int) -> None:
        """Delete all records before an offset, as retention does."""
        with self._lock:
            one = self.partition(partition)
            one.low = max(one.low, offset)
            one.entries = {at: entry for at, entry in one.entries.items() if at >= one.low}

    def lose_from(self, partition: Partition, offset: int) -> None:
        """Elect a leader that lacks all records from an offset on."""
        with self._lock:
            one = self.partition(partition)
            one.end, one.epoch = offset, one.epoch + 1
            one.entries = {at: entry for at, entry in one.entries.items() if at < offset}

    def commit(self, group: str, partition: Partition, offset: int | None) -> None:
        """Commit an offset of a group. None removes it."""
        with self._lock:
            offsets = self._offsets.setdefault(group, {})
            if offset is None:
                offsets.pop(partition, None)
            else:
                offsets[partition] = offset

    def delete_group(self, group: str) -> None:
        """Delete a group, or let its offsets expire."""
        with self._lock:
            self._offsets.pop(group, None)

    # -- CommittedOffsets ----------------------------------------------------------------------------------------------

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, tuple[str, int]]:
        with self._lock:
            found = {topic: self._topics[topic] for topic in topics if self._answers(topic)}
            return {topic: (topic_id, len(partitions)) for topic, (topic_id, partitions) in found.items()}

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        with self._lock:
            found = {partition: self._reachable(partition) for partition in partitions}
            return {
                partition: PartitionEnds(one.low, one.high, one.epoch)
                for partition, one in found.items()
                if one is not None
            }

    def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, GroupOffsets]:
        with self._lock:
            return {
                group: self._group_offsets(group, partitions)
                for group, partitions in groups.items()
                if group not in self.unreachable_groups
            }

    def offsets_at(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, int]:
        with self._lock:
            found: dict[Partition, int] = {}
            for partition, timestamp_ms in timestamps.items():
                one = self._reachable(partition)
                if one is None:
                    continue
                stored = (at for at, entry in sorted(one.entries.items()) if entry.timestamp_ms >= timestamp_ms)
                first = next(stored, None)
                if first is not None and first < one.high:
                    found[partition] = first
            return found

    def read(self, requests: Collection[ReadRequest]) -> Mapping[ReadRequest, ReadResult]:
        with self._lock:
            found: dict[ReadRequest, ReadResult] = {}
            for request in requests:
                one = self._reachable(request.partition)
                if one is not None:
                    found[request] = _read(one, request)
            return found

    def problem(self, topic: str) -> str:
        return self.problems.get(topic, "")

    def close(self) -> None:
        """Nothing to free."""

    def _answers(self, topic: str) -> bool:
        return topic in self._topics and topic not in self.problems

    def _reachable(self, partition: Partition) -> MemoryPartition | None:
        if not self._answers(partition.topic) or partition.number >= len(self._topics[partition.topic][1]):
            return None
        one = self.partition(partition)
        return one if one.reachable else None

    def _group_offsets(self, group: str, partitions: Collection[Partition]) -> GroupOffsets:
        if group in self.refused:
            return GroupOffsets({}, self.refused[group])
        offsets = self._offsets.get(group, {})
        return GroupOffsets({partition: offsets[partition] for partition in partitions if partition in offsets})


def _read(one: MemoryPartition, request: ReadRequest) -> ReadResult:
    open_from = [transaction.began[request.partition] for transaction in one.open]
    stable = min([one.high, *open_from])
    end = min(request.end, stable)
    visible = [
        FoundRecord(at, one.entries[at].timestamp_ms, one.entries[at].create_time)
        for at in range(max(request.start, one.low), end)
        if at in one.entries and one.entries[at].visible
    ]
    if visible and request.first_only:
        return ReadResult(visible[0], visible[0], visible[0].offset)
    first, last = (visible[0], visible[-1]) if visible else (None, None)
    return ReadResult(first, last, max(request.start, end))
