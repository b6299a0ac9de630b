"""Topics in memory whose metadata can lag, and whose brokers can fail."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType
from clocksvc.memory.topics import MemoryTopics


@dataclass
class FaultyTopics(MemoryTopics):
    """`Topics` of one cluster.

    Attributes:
        unavailable: no broker answers.
        failing: partitions that accept no record, and why.
    """

    unavailable: bool = False
    failing: dict[Partition, str] = field(default_factory=dict)
    _listed: dict[str, int] = field(default_factory=dict)
    _untyped: set[str] = field(default_factory=set)

    def hide(self, name: str, listed: int | None = 0) -> None:
        """Metadata lags: it shows only the first `listed` partitions, not the topic for 0, all for None."""
        self._listed.pop(name, None)
        if listed is not None:
            self._listed[name] = listed

    def hide_timestamp_type(self, name: str) -> None:
        """Kafka does not give the topic's timestamp type: the user may not describe its configuration."""
        self._untyped.add(name)

    def create(
        self, name: str, partitions: int, timestamp_type: TimestampType = TimestampType.CREATE_TIME
    ) -> TopicMetadata:
        self.hide(name, None)
        self._untyped.discard(name)
        return super().create(name, partitions, timestamp_type)

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        self._check_available()
        cluster = super().describe(topics)
        shown = {
            name: TopicMetadata(found.id, min(found.partitions, self._listed.get(name, found.partitions)))
            for name, found in cluster.topics.items()
        }
        return ClusterMetadata(cluster.cluster_id, {name: found for name, found in shown.items() if found.partitions})

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        self._check_available()
        return super().timestamp_types([name for name in topics if name not in self._untyped])

    def put_heartbeats(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        if self.unavailable:
            return dict.fromkeys(partitions, "no broker answers")
        taking = [partition for partition in partitions if partition not in self.failing]
        delivered = super().put_heartbeats(taking, timestamp_ms, key, payload, timeout_s)
        return {partition: delivered.get(partition, self.failing.get(partition)) for partition in partitions}

    def _check_available(self) -> None:
        if self.unavailable:
            raise MetadataUnavailable
