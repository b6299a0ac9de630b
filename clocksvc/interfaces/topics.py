"""The watched topics: what partitions they have, which ids, and how a heartbeat gets into each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata


class TimestampType(StrEnum):
    """Who gives a topic's records their timestamps (Kafka's `message.timestamp.type`)."""

    CREATE_TIME = "CreateTime"
    LOG_APPEND_TIME = "LogAppendTime"


@dataclass(frozen=True, slots=True)
class ClusterMetadata:
    """One metadata reading. Topics that Kafka does not list are absent."""

    cluster_id: str
    topics: Mapping[str, TopicMetadata] = field(default_factory=dict)


class Topics(Protocol):
    """The watched topics of one Kafka cluster. Safe to use from several threads; creates no topic, ever."""

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        """Ask Kafka, now, for partitions and ids.

        Raises:
            MetadataUnavailable: no answer, or an answer that leaves open whether a topic exists (authorization).
        """

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        """Who stamps the records of each topic. A topic for which Kafka does not say is absent.

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
        """Put one heartbeat record into each partition, by number, and wait for every delivery.

        Returns:
            For each partition None when it was delivered, else why not, in words.
        """

    def close(self) -> None:
        """Free connections. May be called more than once."""


HEARTBEAT_HEADER = "clocksvc-heartbeat"
