"""A member of a consumer group: partitions that were paused before a rebalance are read after it."""

from collections.abc import Mapping, Sequence

import pytest
from confluent_kafka import Producer

from clocksvc.clock.partition import Partition
from clocksvc.kafka.consumer_group import KafkaConsumerGroup
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.servers


class Listener:
    """Counts assignments."""

    def __init__(self) -> None:
        self.assignments = 0

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.assignments += 1

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing to commit."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Nothing to forget."""

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Nothing was committed."""

    def commit_failed(self, offsets: Mapping[Partition, int], reason: str) -> None:
        """Nothing was committed."""


def test_an_assigned_partition_is_not_paused(bootstrap: str, key_prefix: str) -> None:
    """librdkafka itself keeps a partition paused that it gets again."""
    first, second = f"{key_prefix}-a", f"{key_prefix}-b"
    create_topic(bootstrap, first, 1)
    create_topic(bootstrap, second, 1)
    producer = Producer({"bootstrap.servers": bootstrap})
    group, listener = KafkaConsumerGroup(bootstrap, key_prefix, {}), Listener()
    try:
        producer.produce(first, b"1")
        producer.flush()
        group.subscribe([first], listener)
        eventually(lambda: len(group.consume(1, 0.1)) > 0, what="a record")
        group.pause([Partition(first, 0)])
        producer.produce(first, b"2")
        producer.flush()
        group.subscribe([first, second], listener)
        values: list[bytes] = []

        def read() -> bool:
            values.extend(record.value() for record in group.consume(1, 0.1))
            return listener.assignments == 2 and values[-1:] == [b"2"]

        eventually(read, within=10, what="the record of the partition that was paused")
    finally:
        group.close()
