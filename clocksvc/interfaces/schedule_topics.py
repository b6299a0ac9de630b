"""The two topics of a clock's schedules, and the partition of a schedule in both of them."""

import zlib
from dataclasses import dataclass

MAX_PARTITIONS = 256


def schedule_topic(clock: str) -> str:
    """Return the compacted Kafka topic with the schedules of a clock."""
    return f"{clock}-schedules"


def due_topic(clock: str) -> str:
    """Return the Kafka topic to which records of schedules go when they are due."""
    return f"{clock}-due"


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a schedule in both topics. `key` is its id.

    It is the partition that librdkafka's partitioner `consistent` (CRC32) computes.
    """
    return zlib.crc32(key) % partitions


@dataclass(frozen=True, slots=True)
class SchedulesSpec:
    """The schedules of one clock, as they are configured.

    Attributes:
        partitions: the number of partitions of both topics, 1 to 256. It can't be changed: schedules would move to
            other partitions.
    """

    clock: str
    partitions: int

    @property
    def topic(self) -> str:
        """The topic of schedules."""
        return schedule_topic(self.clock)

    @property
    def due_topic(self) -> str:
        """The topic of due records."""
        return due_topic(self.clock)
