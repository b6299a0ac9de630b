"""A topic on the real Kafka of the tests, and a BufferedConsumer that runs in a thread."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.client.consumer.buffered_consumer import BufferedConsumer
from tests.background import in_thread

FAST_REBALANCES = {"heartbeat.interval.ms": 100, "session.timeout.ms": 6_000, "topic.metadata.refresh.interval.ms": 500}


class Topic:
    """A new topic."""

    def __init__(self, bootstrap: str, name: str, partitions: int = 1) -> None:
        self.bootstrap, self.name, self.partitions = bootstrap, name, partitions
        admin = AdminClient({"bootstrap.servers": bootstrap})
        (future,) = admin.create_topics([NewTopic(name, partitions)]).values()
        future.result(30)
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})

    def produce(self, values: Iterable[int | str], headers: Any = None) -> None:
        """Produce these values round robin, and wait for their delivery."""
        for index, value in enumerate(values):
            self._producer.produce(self.name, str(value).encode(), partition=index % self.partitions, headers=headers)
        assert self._producer.flush(30) == 0

    def committed(self, group: str) -> list[int]:
        """The committed offset of each partition; -1001 for none."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        try:
            wanted = [TopicPartition(self.name, number) for number in range(self.partitions)]
            return [one.offset for one in consumer.committed(wanted, 10)]
        finally:
            consumer.close()

    def read(self, count: int) -> list[Any]:
        """The first records of the topic's partition 0."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        try:
            consumer.assign([TopicPartition(self.name, 0, 0)])
            return list(consumer.consume(count, 10))
        finally:
            consumer.close()


@contextmanager
def running(consumer: BufferedConsumer[Any]) -> Iterator[threading.Thread]:
    """Run a consumer in a thread until the end of the block."""
    with in_thread(consumer.run, consumer.stop) as thread:
        yield thread
