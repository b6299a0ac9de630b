"""The watched topics: their metadata, and heartbeats into their partitions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata


class TimestampType(StrEnum):
    """Where record timestamps come from: producers or brokers (Kafka's `message.timestamp.type`)."""

    CREATE_TIME = "CreateTime"
    LOG_APPEND_TIME = "LogAppendTime"


@dataclass(frozen=True, slots=True)
class ClusterMetadata:
    """The metadata of a cluster's topics.

    Attributes:
        topics: by name. Topics that Kafka does not list are absent. The id is "" if the broker gives no topic ids.
        failures: the topics that Kafka does not describe, with the reason, such as a missing permission.
    """

    cluster_id: str
    topics: Mapping[str, TopicMetadata] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


class Topics(Protocol):
    """The watched topics of one Kafka cluster. Safe to use from several threads; never creates a topic."""

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        """Request partition counts and topic ids from Kafka. Blocks; nothing is cached.

        Raises:
            MetadataUnavailable: no answer.
        """

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        """Return the timestamp type of each topic, at most some seconds old.

        Topics whose type Kafka does not return are absent.

        Raises:
            MetadataUnavailable: no answer.
        """

    def put_heartbeats(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        """Produce one heartbeat record to each partition and wait for all deliveries, for at most `timeout_s`.

        Returns:
            For each partition None if the record was delivered, else the reason as a text.
        """

    def close(self) -> None:
        """Close connections. Can be called more than once."""


HEARTBEAT_HEADER = "clocksvc-heartbeat"
