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
        without_ids: the brokers give no topic ids.
        undescribed: topics that the brokers do not describe, and why.
        failing: partitions that accept no record, and why.
    """

    unavailable: bool = False
    without_ids: bool = False
    undescribed: dict[str, str] = field(default_factory=dict)
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

    def real_timestamp_type(self, name: str) -> TimestampType:
        """Return a topic's timestamp type, whether or not Kafka gives it."""
        return self._topics[name].timestamp_type

    def set_timestamp_type(self, name: str, timestamp_type: TimestampType) -> None:
        """The topic's timestamp type is changed."""
        self._topics[name].timestamp_type = timestamp_type

    def create(
        self, name: str, partitions: int, timestamp_type: TimestampType = TimestampType.CREATE_TIME
    ) -> TopicMetadata:
        self.hide(name, None)
        self._untyped.discard(name)
        return super().create(name, partitions, timestamp_type)

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        self._check_available()
        cluster = super().describe([name for name in topics if name not in self.undescribed])
        shown = {name: self._shown(name, found) for name, found in cluster.topics.items()}
        failures = {name: self.undescribed[name] for name in topics if name in self.undescribed}
        found = {name: metadata for name, metadata in shown.items() if metadata.partitions}
        return ClusterMetadata(cluster.cluster_id, found, failures)

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

    def _shown(self, name: str, metadata: TopicMetadata) -> TopicMetadata:
        partitions = min(metadata.partitions, self._listed.get(name, metadata.partitions))
        return TopicMetadata("" if self.without_ids else metadata.id, partitions)

    def _check_available(self) -> None:
        if self.unavailable:
            raise MetadataUnavailable
