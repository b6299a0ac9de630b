"""Both implementations of the topics, with what tests need in addition: creating topics, and reading records.

The Kafka side speaks to the broker with clients of its own, as a user would.
"""

import uuid
from typing import Protocol, cast

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.topics import TimestampType, Topics
from clocksvc.kafka.topics import KafkaTopics
from clocksvc.memory.topics import TopicRecord
from tests.faulty.topics import FaultyTopics
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.waiting import eventually


class TopicsImplementation(Protocol):
    """A cluster whose topics can be created, changed and read."""

    topics: Topics

    def name(self) -> str:
        """An unused topic name."""

    def cluster_id(self) -> str:
        """The topic's metadata in the cluster."""

    def create(self, name: str, partitions: int, timestamp_type: str = "CreateTime") -> None:
        """Create a topic."""

    def delete(self, name: str) -> None:
        """Delete it."""

    def add_partitions(self, name: str, total: int) -> None:
        """Increase its partitions to `total`."""

    def records(self, partition: Partition) -> list[TopicRecord]:
        """All records that a consumer gets."""

    def stall(self) -> None:
        """No broker answers."""

    def heal(self) -> None:
        """The brokers answer again."""

    def free(self) -> None:
        """Close what was opened."""


class MemoryTopicsImplementation:
    """The in-memory implementation."""

    def __init__(self) -> None:
        self.memory = FaultyTopics("cluster-1")
        self.topics: Topics = self.memory

    def name(self) -> str:
        return f"ingest-{uuid.uuid4().hex[:12]}"

    def cluster_id(self) -> str:
        return "cluster-1"

    def create(self, name: str, partitions: int, timestamp_type: str = "CreateTime") -> None:
        self.memory.create(name, partitions, TimestampType(timestamp_type))

    def delete(self, name: str) -> None:
        self.memory.delete(name)

    def add_partitions(self, name: str, total: int) -> None:
        self.memory.add_partitions(name, total - self.memory.metadata(name).partitions)

    def records(self, partition: Partition) -> list[TopicRecord]:
        return self.memory.records(partition)

    def stall(self) -> None:
        self.memory.unavailable = True

    def heal(self) -> None:
        self.memory.unavailable = False

    def free(self) -> None:
        self.topics.close()


class KafkaTopicsImplementation:
    """The Kafka implementation, through a proxy that fails on demand."""

    def __init__(self, kafka: FaultyKafka) -> None:
        self._proxy = kafka.proxy
        self._settings: dict[str, str] = {"bootstrap.servers": kafka.bootstrap}
        self._quiet: dict[str, str | int | float | bool] = {**self._settings, "log_level": 0}
        self._admin = AdminClient(self._quiet)
        self.topics: Topics = KafkaTopics(self._settings)

    def name(self) -> str:
        return f"ingest-{uuid.uuid4().hex[:12]}"

    def cluster_id(self) -> str:
        return str(self._admin.list_topics(timeout=10.0).cluster_id)

    def create(self, name: str, partitions: int, timestamp_type: str = "CreateTime") -> None:
        new = NewTopic(name, partitions, 1, config={"message.timestamp.type": timestamp_type})
        self._admin.create_topics([new])[name].result()
        eventually(lambda: self.listed().get(name) == partitions, what="the topic to be known")

    def delete(self, name: str) -> None:
        self._admin.delete_topics([name])[name].result()
        eventually(lambda: name not in self.listed(), what="the topic to be gone")

    def add_partitions(self, name: str, total: int) -> None:
        self._admin.create_partitions([NewPartitions(name, total)])[name].result()
        eventually(lambda: self.listed().get(name) == total, what="the partitions to be known")

    def listed(self) -> dict[str, int]:
        """All topics of the cluster, with their numbers of partitions."""
        return {name: len(topic.partitions) for name, topic in self._admin.list_topics(timeout=10.0).topics.items()}

    def records(self, partition: Partition) -> list[TopicRecord]:
        consumer = Consumer({**self._quiet, "group.id": "g", "enable.partition.eof": True, "fetch.wait.max.ms": 10})
        consumer.assign([TopicPartition(partition.topic, partition.number, 0)])
        found = []
        while True:
            got = consumer.poll(10.0)
            assert got is not None
            if got.error() is not None:
                break
            headers = cast("list[tuple[str, bytes]]", got.headers() or [])
            found.append(TopicRecord(got.timestamp()[1], got.key(), got.value(), tuple(headers)))
        consumer.close()
        return found

    def stall(self) -> None:
        self._proxy.stall()

    def heal(self) -> None:
        self._proxy.heal()

    def free(self) -> None:
        self.heal()
        self.topics.close()
