"""The two topics of a clock's schedules, their keys, and the partition of a schedule in both of them."""

import re
import zlib
from dataclasses import dataclass

from clocksvc.errors import InvalidValue
from clocksvc.interfaces.due_sink import SinkKind

MAX_PARTITIONS = 256
POSITION_KEY = "_position"

RESERVED_IDS = frozenset({POSITION_KEY, ".", "..", "missed-runs"})
"""The key of the scheduler's position, and ids whose path in the HTTP API has another meaning. No schedule has them."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def schedule_topic(clock: str) -> str:
    """Return the compacted Kafka topic with the schedules of a clock."""
    return f"{clock}-schedules"


def due_topic(clock: str) -> str:
    """Return the Kafka topic to which records of schedules go when they are due."""
    return f"{clock}-due"


def parse_id(schedule_id: object) -> str:
    """Return a valid id of a schedule. Raises InvalidValue."""
    if not isinstance(schedule_id, str) or not _ID.fullmatch(schedule_id):
        raise InvalidValue("id", schedule_id, "wanted 1 to 64 letters, digits, or any of . _ : -")
    if schedule_id in RESERVED_IDS:
        raise InvalidValue("id", schedule_id, "this id is reserved: the scheduler or the HTTP API uses it")
    return schedule_id


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
        sink: where due schedules go.
    """

    clock: str
    partitions: int
    sink: SinkKind = SinkKind.TOPIC

    @property
    def topic(self) -> str:
        """The topic of schedules."""
        return schedule_topic(self.clock)

    @property
    def due_topic(self) -> str:
        """The topic of due records."""
        return due_topic(self.clock)
