"""The records that a test feeds, and the messages that a consumer gets for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LOG_APPEND_TIME = 2
"""The timestamp type of the messages, as confluent-kafka numbers them."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record for a topic of a ConsumerRun.

    Attributes:
        value, key: bytes, or None.
        partition: the number of its partition.
        timestamp_ms: milliseconds since the epoch; None for the time of the run.
        headers: pairs of name and value.
        topic: None for the first topic of the consumer.
        gap: the number of offsets before it that have no record, as after compaction or behind a transaction marker.
    """

    value: bytes | None
    partition: int = 0
    timestamp_ms: int | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    topic: str | None = None
    gap: int = 0


class Message:
    """A message with the methods of confluent-kafka's `Message`. The consumer gets a new one at each delivery.

    Attributes:
        delivery: what the run knows about this delivery.
    """

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp_ms", "_topic", "_value", "delivery")

    def __init__(self, delivery: Any, topic: str, offset: int, timestamp_ms: int, record: Record) -> None:
        self.delivery = delivery
        self._topic, self._partition, self._offset = topic, record.partition, offset
        self._key, self._value, self._headers = record.key, record.value, record.headers
        self._timestamp_ms = timestamp_ms

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return list(self._headers) or None

    def timestamp(self) -> tuple[int, int]:
        return LOG_APPEND_TIME, self._timestamp_ms

    def error(self) -> Any:
        return None

    def leader_epoch(self) -> int:
        return 0

    def __len__(self) -> int:
        return len(self._value or b"")

    def __repr__(self) -> str:
        return f"<message {self._topic}/{self._partition}@{self._offset}>"
