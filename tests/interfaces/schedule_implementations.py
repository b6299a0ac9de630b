"""Implementations of the due log and of the writer of schedules, with what tests need in addition.

All Kafka tests of a module share two topics. Each test has a partition of its own.
"""

import itertools
import uuid
from collections.abc import Sequence
from typing import Any, Protocol, cast

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.interfaces.compacted_topic import CompactedTopic
from clocksvc.interfaces.due_log import DueLog, DueLogEntry, DueLogRecord
from clocksvc.interfaces.schedule_topics import partition_of
from clocksvc.interfaces.schedule_writer import ScheduleRecord, ScheduleWriter
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.compacted_topic import KafkaCompactedTopic
from clocksvc.kafka.due_log import KafkaDueLog
from clocksvc.kafka.schedule_writer import KafkaScheduleWriter
from clocksvc.memory.compacted_topic import MemoryCompactedTopic
from clocksvc.memory.due_log import MemoryDueLog, SharedDueLog
from clocksvc.memory.schedule_writer import MemoryScheduleWriter, ScheduleWriters
from tests.waiting import eventually

PARTITIONS = 32
TIMEOUT_S = 6.0


class Partition(Protocol):
    """One partition of both topics."""

    number: int

    def due_log(self) -> DueLog:
        """The partition of due records, as another process uses it."""

    def writer(self) -> ScheduleWriter:
        """A writer of schedules in another process."""

    def source(self) -> CompactedTopic:
        """A reader of schedules."""

    def due(self) -> list[DueLogEntry]:
        """All committed records of the due log."""

    def schedules(self) -> list[tuple[int, bytes | None, bytes | None]]:
        """The offset, key and value of all committed records of schedules."""

    def write_foreign(self, records: Sequence[ScheduleRecord]) -> None:
        """Another program writes schedules."""


class MemoryPartition:
    """In memory."""

    number = 0

    def __init__(self) -> None:
        self._due = SharedDueLog()
        self._topic = MemoryCompactedTopic("schedules", 1)
        self._writers = ScheduleWriters(self._topic, 0, SystemTime())

    def due_log(self) -> DueLog:
        return MemoryDueLog(self._due)

    def writer(self) -> ScheduleWriter:
        return MemoryScheduleWriter(self._writers)

    def source(self) -> CompactedTopic:
        return self._topic.open()

    def due(self) -> list[DueLogEntry]:
        return self._due.committed()

    def schedules(self) -> list[tuple[int, bytes | None, bytes | None]]:
        found, _, _ = self._topic.read(0, 0, 100_000) or ([], 0, 0)
        return [(one.offset(), one.key(), one.value()) for one in found]

    def write_foreign(self, records: Sequence[ScheduleRecord]) -> None:
        for key, value in records:
            self._topic.append(0, key, value)


class KafkaTopics:
    """Both topics in Kafka, and objects to be closed."""

    def __init__(self, bootstrap: str) -> None:
        self.settings = {"bootstrap.servers": bootstrap}
        self.clock = f"c{uuid.uuid4().hex[:12]}"
        self.opened: list[Any] = []
        self._numbers = itertools.count()
        self._admin = AdminClient({**self.settings, "log_level": 0})
        topics = [
            NewTopic(f"{self.clock}-schedules", PARTITIONS, 1, config={"cleanup.policy": "compact"}),
            NewTopic(f"{self.clock}-due", PARTITIONS, 1, config={"retention.ms": "604800000"}),
        ]
        for future in self._admin.create_topics(topics).values():
            future.result()
        eventually(self._known, what="the topics to be known")

    def partition(self) -> "KafkaPartition":
        """A partition that no other test uses."""
        return KafkaPartition(self, next(self._numbers))

    def close(self) -> None:
        """Close all objects."""
        for one in self.opened:
            one.close()

    def _known(self) -> bool:
        topics = self._admin.list_topics(timeout=10.0).topics
        return all(
            name in topics and len(topics[name].partitions) == PARTITIONS
            for name in (f"{self.clock}-schedules", f"{self.clock}-due")
        )


class KafkaPartition:
    """In Kafka."""

    def __init__(self, topics: KafkaTopics, number: int) -> None:
        self.number, self.topics = number, topics
        self._due, self._schedules = f"{topics.clock}-due", f"{topics.clock}-schedules"

    def due_log(self) -> KafkaDueLog:
        made = KafkaDueLog(self._due, self.number, self.topics.settings, SystemTime(), TIMEOUT_S, 1.0)
        self.topics.opened.append(made)
        return made

    def writer(self) -> KafkaScheduleWriter:
        made = KafkaScheduleWriter(self._schedules, self.number, self.topics.settings, SystemTime(), TIMEOUT_S)
        self.topics.opened.append(made)
        return made

    def source(self) -> KafkaCompactedTopic:
        return KafkaCompactedTopic(self._schedules, self.topics.settings)

    def due(self) -> list[DueLogEntry]:
        return [
            DueLogEntry(one.offset() or 0, one.key(), one.value(), cast(Any, one.headers() or []))
            for one in self._read(self._due)
        ]

    def schedules(self) -> list[tuple[int, bytes | None, bytes | None]]:
        return [(one.offset() or 0, one.key(), one.value()) for one in self._read(self._schedules)]

    def write_foreign(self, records: Sequence[ScheduleRecord]) -> None:
        producer = Producer({**self.topics.settings, "log_level": 0})
        for key, value in records:
            producer.produce(self._schedules, value, key, partition=self.number)
        assert producer.flush(10) == 0

    def _read(self, topic: str) -> list[Any]:
        settings = {
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
        consumer = Consumer({**self.topics.settings, "log_level": 0, **settings})
        consumer.assign([TopicPartition(topic, self.number, 0)])
        found = []
        while (polled := consumer.poll(10.0)) is not None and polled.error() is None:
            found.append(polled)
        consumer.close()
        assert polled is not None
        return found


def ids_in(partition: Partition, count: int) -> list[bytes]:
    """Ids that belong to a partition, in their order."""
    found = (
        key for number in itertools.count() if partition_of(key := b"s%05d" % number, PARTITIONS) == partition.number
    )
    return list(itertools.islice(found, count))


def due_record(number: int, headers: int = 2) -> DueLogRecord:
    """A record with a number."""
    return DueLogRecord(b"s%d" % number, b"%d" % number, [("clocksvc-id", b"%d" % n) for n in range(headers)])


POSITION = DueLogRecord(b"_position", b"{}", [("clocksvc-type", b"position")])
