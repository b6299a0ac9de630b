"""A cluster whose partitions and groups can be brought into any state, for the suite of committed offsets.

The Kafka side speaks to the broker with clients of its own, as producers and groups do.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol, cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    Producer,
    ShareConsumer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.committed_offsets import CommittedOffsets
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.committed_offsets import KafkaCommittedOffsets
from clocksvc.memory.committed_offsets import MemoryCommittedOffsets, MemoryTransaction
from tests.waiting import eventually


class OffsetsImplementation(Protocol):
    """A cluster. Timestamps are milliseconds since the epoch; topics have CreateTime unless made with LogAppendTime."""

    offsets: CommittedOffsets

    def create(self, partitions: int, timestamp_type: str = "CreateTime", *, compacted: bool = False) -> str:
        """Create a topic, and return its name."""

    def delete_topic(self, topic: str) -> None:
        """Delete a topic."""

    def recreate(self, topic: str, partitions: int) -> None:
        """Delete a topic, and create it again."""

    def add_partitions(self, topic: str, total: int) -> None:
        """Increase the number of partitions."""

    def append(self, partition: Partition, *timestamps_ms: int, key: bytes | None = None) -> None:
        """Append a record with each of these timestamps."""

    def transaction(self, partition: Partition, *timestamps_ms: int, end: str) -> None:
        """Append records in a transaction of its own, and end it with `commit` or `abort`, or leave it `open`."""

    def compact(self, partition: Partition, left: int) -> None:
        """Compact a partition until it has this number of records."""

    def delete_records(self, partition: Partition, before: int) -> None:
        """Delete the records before an offset."""

    def commit(self, group: str, partition: Partition, offset: int) -> None:
        """Commit an offset in a group without members."""

    def delete_group(self, group: str) -> None:
        """Delete a group."""

    def make_share_group(self, group: str, topic: str) -> None:
        """Make a share group that has read from a topic."""

    def free(self) -> None:
        """Close what was opened."""


def group_name() -> str:
    """Return an unused name."""
    return f"group-{uuid.uuid4().hex[:12]}"


class KafkaOffsetsImplementation:
    """The Kafka implementation."""

    def __init__(self, bootstrap: str) -> None:
        self.settings: dict[str, str] = {"bootstrap.servers": bootstrap}
        self._quiet: dict[str, Any] = {**self.settings, "log_level": 0}
        self.offsets: CommittedOffsets = KafkaCommittedOffsets(self.settings)
        self._admin = AdminClient(self._quiet)
        self._producer = Producer({**self._quiet, "linger.ms": 0})
        self._open: list[Producer] = []
        self._shares: list[Any] = []

    def create(self, partitions: int, timestamp_type: str = "CreateTime", *, compacted: bool = False) -> str:
        name = f"offsets-{uuid.uuid4().hex[:12]}"
        config = {"message.timestamp.type": timestamp_type}
        if compacted:
            fast = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100"}
            config |= {"cleanup.policy": "compact", **fast}
        self._create(name, partitions, config)
        return name

    def delete_topic(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result()
        eventually(lambda: topic not in self._admin.list_topics(timeout=10.0).topics, what="the topic to be gone")

    def recreate(self, topic: str, partitions: int) -> None:
        self.delete_topic(topic)
        self._create(topic, partitions, {})
        # The former topic's id is in the producer's memory.
        self._producer = Producer({**self._quiet, "linger.ms": 0})

    def add_partitions(self, topic: str, total: int) -> None:
        self._admin.create_partitions([NewPartitions(topic, total)])[topic].result()
        self._wait_ready(topic, total)

    def append(self, partition: Partition, *timestamps_ms: int, key: bytes | None = None) -> None:
        self._append(self._producer, partition, timestamps_ms, key)

    def transaction(self, partition: Partition, *timestamps_ms: int, end: str) -> None:
        producer = Producer({**self._quiet, "linger.ms": 0, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(10.0)
        producer.begin_transaction()
        self._append(producer, partition, timestamps_ms, None)
        if end == "open":
            self._open.append(producer)
            return
        before = self.offsets.ends([partition])[partition].high
        (producer.commit_transaction if end == "commit" else producer.abort_transaction)(10.0)
        # Brokers write the marker a little after the commit.
        eventually(lambda: self.offsets.ends([partition])[partition].high > before, what="the marker")

    def compact(self, partition: Partition, left: int) -> None:
        eventually(lambda: self._count(partition) <= left, what="the partition to be compacted")

    def delete_records(self, partition: Partition, before: int) -> None:
        (future,) = self._admin.delete_records([TopicPartition(*partition, before)]).values()
        future.result()

    def commit(self, group: str, partition: Partition, offset: int) -> None:
        position = TopicPartition(*partition, offset)

        def committed() -> bool:
            request = ConsumerGroupTopicPartitions(group, [position])
            answered = self._admin.alter_consumer_group_offsets([request])[group].result()
            return answered.topic_partitions[0].error is None

        eventually(committed, what="the offset to be committed")  # in a new cluster, its coordinator must load

    def delete_group(self, group: str) -> None:
        self._admin.delete_consumer_groups([group])[group].result()

    def make_share_group(self, group: str, topic: str) -> None:
        share = ShareConsumer({**self._quiet, "group.id": group})
        share.subscribe([topic])
        self._shares.append(share)
        admin = Admin(self._quiet, MetadataUnavailable)

        def exists() -> bool:
            share.poll(0.1)
            return admin.group_state(group, 5.0) is not None

        eventually(exists, what="the share group")

    def allow(self, user: str, operation: str, topic: str) -> None:
        """Give a user a permission on a topic."""
        allowed = AclOperation[operation], AclPermissionType.ALLOW
        acl = AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{user}", "*", *allowed)
        self._admin.create_acls([acl])[acl].result()

    def free(self) -> None:
        for share in self._shares:
            share.close()
        for producer in self._open:
            producer.abort_transaction(10.0)
        self.offsets.close()

    def _create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self._admin.create_topics([NewTopic(name, partitions, 1, config=dict(config))])[name].result()
        self._wait_ready(name, partitions)

    def _wait_ready(self, topic: str, partitions: int) -> None:
        """Wait until the broker leads all partitions: it answers the metadata a little earlier."""
        consumer = Consumer({**self._quiet, "group.id": "none"})

        def ready() -> bool:
            try:
                for number in range(partitions):
                    consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=1.0, cached=False)
            except KafkaException:
                return False
            return True

        eventually(ready, what="the topic's partitions to have leaders")
        consumer.close()

    def _append(
        self, producer: Producer, partition: Partition, timestamps_ms: tuple[int, ...], key: bytes | None
    ) -> None:
        failures: list[object] = []

        def delivered(error: object, _: Message) -> None:
            if error is not None:
                failures.append(error)

        for timestamp_ms in timestamps_ms:
            producer.produce(
                partition.topic, b"x", key, partition=partition.number, timestamp=timestamp_ms, on_delivery=delivered
            )
            assert producer.flush(10.0) == 0
        assert failures == []

    def _count(self, partition: Partition) -> int:
        consumer = Consumer({**self._quiet, "group.id": "g", "enable.partition.eof": True, "fetch.wait.max.ms": 10})
        consumer.assign([TopicPartition(*partition, 0)])
        count = 0
        while True:
            got = cast(Message, consumer.poll(10.0))
            if got.error() is not None:
                consumer.close()
                return count
            count += 1


class MemoryOffsetsImplementation:
    """The implementation in memory. The group coordinator's wall clock is the time of this machine."""

    def __init__(self) -> None:
        self.cluster = MemoryCommittedOffsets()
        self.offsets: CommittedOffsets = self.cluster
        self._append_time: set[str] = set()
        self._keys: dict[Partition, dict[int, bytes | None]] = {}

    def create(self, partitions: int, timestamp_type: str = "CreateTime", *, compacted: bool = False) -> str:
        name = f"offsets-{uuid.uuid4().hex[:12]}"
        if timestamp_type == "LogAppendTime":
            self._append_time.add(name)
        self.cluster.create(name, partitions)
        return name

    def delete_topic(self, topic: str) -> None:
        self.cluster.delete(topic)

    def recreate(self, topic: str, partitions: int) -> None:
        self.cluster.create(topic, partitions)

    def add_partitions(self, topic: str, total: int) -> None:
        self.cluster.add_partitions(topic, total - self.cluster.topic_ids([topic])[topic][1])

    def append(self, partition: Partition, *timestamps_ms: int, key: bytes | None = None) -> None:
        for timestamp_ms in timestamps_ms:
            create_time = partition.topic not in self._append_time
            stored_ms = timestamp_ms if create_time else now_ms()
            end = self.cluster.append(partition, stored_ms, create_time=create_time)
            self._keys.setdefault(partition, {})[end - 1] = key

    def transaction(self, partition: Partition, *timestamps_ms: int, end: str) -> None:
        transaction = MemoryTransaction()
        self.cluster.append(partition, *timestamps_ms, transaction=transaction)
        if end != "open":
            self.cluster.finish(transaction, now_ms(), commit=end == "commit")

    def compact(self, partition: Partition, left: int) -> None:
        keys = self._keys[partition]
        newest = {key: offset for offset, key in keys.items()}
        self.cluster.compact(partition, *(offset for offset, key in keys.items() if newest[key] != offset))
        assert len(newest) == left

    def delete_records(self, partition: Partition, before: int) -> None:
        self.cluster.delete_before(partition, before)

    def commit(self, group: str, partition: Partition, offset: int) -> None:
        self.cluster.commit(group, partition, offset)

    def delete_group(self, group: str) -> None:
        self.cluster.delete_group(group)

    def make_share_group(self, group: str, topic: str) -> None:
        self.cluster.refused[group] = f"{group} is a share group: it has no ordered offsets"

    def free(self) -> None:
        """Nothing to free."""


def now_ms() -> int:
    """Return the time of this machine, whose brokers reject timestamps that are too far ahead."""
    return time.time_ns() // 1_000_000
