"""The watched topics in memory, with the records that heartbeats put there. For tests and simulations.

One object is one Kafka cluster, shared by everybody who asks it. It can lag, hide and fail as metadata does.
"""

import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.topics import (
    HEARTBEAT_HEADER,
    ClusterMetadata,
    TimestampType,
)


class TopicRecord(NamedTuple):
    """One record of a watched topic."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class MemoryTopic:
    """One topic: its records by partition. `listed` is how many partitions metadata shows; None shows all."""

    id: str
    timestamp_type: TimestampType
    partitions: list[list[TopicRecord]]
    listed: int | None = None
    timestamp_type_known: bool = True


@dataclass
class MemoryTopics:
    """The topics of one cluster: a Topics.

    Attributes:
        cluster_id: changes when clients are pointed at another cluster.
        unavailable: no broker answers.
        append_time_ms: what brokers stamp on LogAppendTime topics; None keeps the producer's timestamp.
        failing: partitions that take no record now, and why.
    """

    cluster_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    unavailable: bool = False
    append_time_ms: int | None = None
    failing: dict[Partition, str] = field(default_factory=dict)
    _topics: dict[str, MemoryTopic] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def create(
        self, name: str, partitions: int, timestamp_type: TimestampType = TimestampType.CREATE_TIME
    ) -> TopicMetadata:
        """Make a topic, or make it anew: with another id and without its records."""
        with self._lock:
            self._topics[name] = MemoryTopic(uuid.uuid4().hex, timestamp_type, [[] for _ in range(partitions)])
            return self.shape(name)

    def delete(self, name: str) -> None:
        """Take a topic away."""
        with self._lock:
            del self._topics[name]

    def add_partitions(self, name: str, more: int) -> TopicMetadata:
        """More partitions under the same id."""
        with self._lock:
            self._topics[name].partitions.extend([] for _ in range(more))
            return self.shape(name)

    def hide(self, name: str, listed: int | None = 0) -> None:
        """Metadata lags: it shows only the first `listed` partitions, none of the topic for 0, all for None."""
        self._topics[name].listed = listed

    def hide_timestamp_type(self, name: str) -> None:
        """Kafka does not say who stamps this topic's records (no right to describe its configuration)."""
        self._topics[name].timestamp_type_known = False

    def shape(self, name: str) -> TopicMetadata:
        """A topic as it is, whatever metadata shows."""
        topic = self._topics[name]
        return TopicMetadata(topic.id, len(topic.partitions))

    def put(self, partition: Partition, record: TopicRecord) -> None:
        """One record at a partition's end, as any producer writes it."""
        with self._lock:
            topic = self._topics[partition.topic]
            if topic.timestamp_type is TimestampType.LOG_APPEND_TIME and self.append_time_ms is not None:
                record = record._replace(timestamp_ms=self.append_time_ms)
            topic.partitions[partition.number].append(record)

    def records(self, partition: Partition, after: int = 0) -> list[TopicRecord]:
        """A partition's records from offset `after` on, for simulated consumers."""
        with self._lock:
            return self._topics[partition.topic].partitions[partition.number][after:]

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        with self._lock:
            self._ask()
            shapes = {name: self._listed(name) for name in topics if name in self._topics}
        return ClusterMetadata(self.cluster_id, {name: shape for name, shape in shapes.items() if shape.partitions})

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        with self._lock:
            self._ask()
            found = {name: self._topics[name] for name in topics if name in self._topics}
            return {name: topic.timestamp_type for name, topic in found.items() if topic.timestamp_type_known}

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
            if self.unavailable:
                return "no broker answers"
            if partition in self.failing:
                return self.failing[partition]
            topic = self._topics.get(partition.topic)
            if topic is None or partition.number >= len(topic.partitions):
                return "the partition is not known"
            self.put(partition, record)
            return None

    def _listed(self, name: str) -> TopicMetadata:
        topic, shape = self._topics[name], self.shape(name)
        return shape if topic.listed is None else TopicMetadata(shape.id, min(topic.listed, shape.partitions))

    def _ask(self) -> None:
        if self.unavailable:
            raise MetadataUnavailable
