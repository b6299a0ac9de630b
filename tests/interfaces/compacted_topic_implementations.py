"""Both implementations of a compacted topic, with what tests need in addition: writing, aborting, compacting it."""

import time
import uuid
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from clocksvc.interfaces.compacted_topic import CompactedTopic
from clocksvc.kafka.compacted_topic import KafkaCompactedTopic
from clocksvc.memory.compacted_topic import MemoryCompactedTopic
from tests.waiting import eventually

SEGMENT_S = 0.1
WITHIN_S = 30.0


class CompactedTopicImplementation(Protocol):
    """A topic of two partitions that can be written and changed."""

    def open(self) -> CompactedTopic:
        """Return a reader of the topic."""

    def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Append an acknowledged record; a tombstone if `value` is None."""

    def append_in_transaction(self, partition: int, key: bytes, value: bytes | None, *, commit: bool) -> None:
        """Append a record and a marker."""

    def open_transaction(self, partition: int) -> Callable[[], None]:
        """Append a record in a transaction that stays open. Return the function that commits it."""

    def compact(self, partition: int) -> None:
        """Remove all records that are not the newest of their key. The last record must have a key of its own."""

    def add_partitions(self, total: int) -> None:
        """Increase the topic's partitions to `total`."""

    def recreate(self, partitions: int) -> None:
        """Delete the topic, and create it again."""


class MemoryImplementation:
    """The in-memory implementation."""

    def __init__(self) -> None:
        self._topic = MemoryCompactedTopic("configs", 2)

    def open(self) -> CompactedTopic:
        return self._topic.open()

    def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        self._topic.append(partition, key, value)

    def append_in_transaction(self, partition: int, key: bytes, value: bytes | None, *, commit: bool) -> None:
        if commit:
            self._topic.append(partition, key, value)
        self._topic.skip(partition, 1 if commit else 2)

    def open_transaction(self, partition: int) -> Callable[[], None]:
        self._topic.open_transaction(partition)
        self._topic.append(partition, b"open", b"open")
        return lambda: self._topic.end_transaction(partition)

    def compact(self, partition: int) -> None:
        self._topic.compact(partition, tombstones=False)

    def add_partitions(self, total: int) -> None:
        self._topic.add_partitions(total)

    def recreate(self, partitions: int) -> None:
        self._topic.recreate(partitions)


class KafkaImplementation:
    """The Kafka implementation. `compact` makes its segments short and waits for the cleaner."""

    def __init__(self, bootstrap: str) -> None:
        self._settings = {"bootstrap.servers": bootstrap}
        self._quiet: dict[str, str | int | float | bool] = {**self._settings, "log_level": 0, "linger.ms": 0}
        self.name = f"configs-{uuid.uuid4().hex[:12]}"
        self._admin = AdminClient({**self._settings, "log_level": 0})
        self._producer = Producer(self._quiet)
        self._transactional: Producer | None = None
        self._create(2)

    def open(self) -> CompactedTopic:
        return KafkaCompactedTopic(self.name, self._settings)

    def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        self._producer.produce(self.name, value, key, partition=partition)
        assert self._producer.flush(WITHIN_S) == 0

    def append_in_transaction(self, partition: int, key: bytes, value: bytes | None, *, commit: bool) -> None:
        if self._transactional is None:
            self._transactional = self._new_transactional()
        producer = self._transactional
        self._begin(producer, partition, key, value)
        if commit:
            producer.commit_transaction(WITHIN_S)
        else:
            producer.abort_transaction(WITHIN_S)

    def open_transaction(self, partition: int) -> Callable[[], None]:
        producer = self._new_transactional()
        self._begin(producer, partition, b"open", b"open")
        return lambda: producer.commit_transaction(WITHIN_S)

    def compact(self, partition: int) -> None:
        written_at = time.monotonic()
        self._configure({"segment.ms": str(round(SEGMENT_S * 1000)), "min.cleanable.dirty.ratio": "0.001"})
        # A segment ends with the first record after this time.
        eventually(lambda: time.monotonic() > written_at + SEGMENT_S, what="the segment to be old")
        before = len(self._readable(partition))
        self.append(partition, b"last", b"last")
        eventually(
            lambda: 0 < len(self._readable(partition)) < before, within=WITHIN_S, what="the cleaner to remove records"
        )

    def add_partitions(self, total: int) -> None:
        self._admin.create_partitions([NewPartitions(self.name, total)])[self.name].result()
        eventually(lambda: self._partitions() == total, what="the partitions to be known")

    def recreate(self, partitions: int) -> None:
        self._admin.delete_topics([self.name])[self.name].result()
        eventually(lambda: self._partitions() == 0, what="the topic to be gone")
        self._create(partitions)

    def grant_read(self, principal: str) -> None:
        """Let a user read the topic."""
        read = AclBinding(
            ResourceType.TOPIC,
            self.name,
            ResourcePatternType.LITERAL,
            principal,
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        self._admin.create_acls([read])[read].result()

    def _create(self, partitions: int) -> None:
        config = {"cleanup.policy": "compact"}
        self._admin.create_topics([NewTopic(self.name, partitions, 1, config=config)])[self.name].result()
        eventually(lambda: self._partitions() == partitions, what="the topic to be known")

    def _configure(self, config: dict[str, str]) -> None:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.name, incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result()

    def _partitions(self) -> int:
        topic = self._admin.list_topics(timeout=10.0).topics.get(self.name)
        return 0 if topic is None else len(topic.partitions)

    def _new_transactional(self) -> Producer:
        producer = Producer({**self._quiet, "transactional.id": f"{self.name}-{uuid.uuid4().hex}"})
        producer.init_transactions(WITHIN_S)
        return producer

    def _begin(self, producer: Producer, partition: int, key: bytes, value: bytes | None) -> None:
        producer.begin_transaction()
        producer.produce(self.name, value, key, partition=partition)
        producer.flush(WITHIN_S)

    def _readable(self, partition: int) -> list[int]:
        """The offsets of all records, by a client of its own."""
        consumer = Consumer({**self._settings, "group.id": "g", "enable.partition.eof": True, "fetch.wait.max.ms": 10})
        consumer.assign([TopicPartition(self.name, partition, 0)])
        found: list[int] = []
        while (message := consumer.poll(WITHIN_S)) is not None and message.error() is None:
            found.append(message.offset() or 0)
        consumer.close()
        return found
