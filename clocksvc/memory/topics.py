"""Watched topics in memory, with their records. One object is one Kafka cluster."""

import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.interfaces.topics import HEARTBEAT_HEADER, ClusterMetadata, TimestampType


class TopicRecord(NamedTuple):
    """One record of a watched topic."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class MemoryTopic:
    """One topic with its records by partition."""

    id: str
    timestamp_type: TimestampType
    partitions: list[list[TopicRecord]]


@dataclass
class MemoryTopics:
    """`Topics` of one cluster. Safe to use from several threads.

    Attributes:
        cluster_id: the id of the Kafka cluster.
        append_time_ms: the brokers' clock, for records on LogAppendTime topics; None keeps the producer's timestamp.
    """

    cluster_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    append_time_ms: int | None = None
    _topics: dict[str, MemoryTopic] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def create(
        self, name: str, partitions: int, timestamp_type: TimestampType = TimestampType.CREATE_TIME
    ) -> TopicMetadata:
        """Create a topic, or recreate it with a new id and without records."""
        with self._lock:
            self._topics[name] = MemoryTopic(uuid.uuid4().hex, timestamp_type, [[] for _ in range(partitions)])
            return self.metadata(name)

    def delete(self, name: str) -> None:
        """Delete a topic."""
        with self._lock:
            del self._topics[name]

    def add_partitions(self, name: str, more: int) -> TopicMetadata:
        """Add partitions to a topic. The topic's id does not change."""
        with self._lock:
            self._topics[name].partitions.extend([] for _ in range(more))
            return self.metadata(name)

    def set_timestamp_type(self, name: str, timestamp_type: TimestampType) -> None:
        """Change a topic's `message.timestamp.type`. Its records stay unchanged."""
        with self._lock:
            self._topics[name].timestamp_type = timestamp_type

    def metadata(self, name: str) -> TopicMetadata:
        """Return a topic's id and number of partitions."""
        topic = self._topics[name]
        return TopicMetadata(topic.id, len(topic.partitions))

    def put(self, partition: Partition, record: TopicRecord) -> None:
        """Append a record to a partition."""
        with self._lock:
            topic = self._topics[partition.topic]
            if topic.timestamp_type is TimestampType.LOG_APPEND_TIME and self.append_time_ms is not None:
                record = record._replace(timestamp_ms=self.append_time_ms)
            topic.partitions[partition.number].append(record)

    def records(self, partition: Partition, after: int = 0) -> list[TopicRecord]:
        """Return a partition's records, beginning at offset `after`."""
        with self._lock:
            return self._topics[partition.topic].partitions[partition.number][after:]

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        with self._lock:
            return ClusterMetadata(
                self.cluster_id, {name: self.metadata(name) for name in topics if name in self._topics}
            )

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        with self._lock:
            return {name: self._topics[name].timestamp_type for name in topics if name in self._topics}

    def put_heartbeats(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        record = TopicRecord(timestamp_ms, key, payload, ((HEARTBEAT_HEADER, b"1"),))
        return {partition: self._put_heartbeat(partition, record) for partition in partitions}

    def close(self) -> None:
        """Nothing to free."""

    def _put_heartbeat(self, partition: Partition, record: TopicRecord) -> str | None:
        with self._lock:
            topic = self._topics.get(partition.topic)
            if topic is None or partition.number >= len(topic.partitions):
                return "the partition is not known"
            self.put(partition, record)
            return None
