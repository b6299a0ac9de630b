"""The messages that a Reporter accepts: objects like those of confluent-kafka. Does not import a Kafka client."""

from collections.abc import Sequence
from typing import Any, Protocol

from clocksvc.interfaces.topics import HEARTBEAT_HEADER


class HasHeaders(Protocol):
    """A message with headers."""

    def headers(self) -> Any:
        """Pairs of name and value, or None."""


class KafkaMessage(Protocol):
    """A record as confluent-kafka returns it, or an error event."""

    def topic(self) -> str | None:
        """The topic's name."""

    def partition(self) -> Any:
        """The number of the partition; None for some events."""

    def timestamp(self) -> Any:
        """The timestamp type and the milliseconds since the epoch; -1 for no timestamp."""

    def error(self) -> Any:
        """None for a record, an error for an event."""


class TopicPartition(Protocol):
    """A partition as confluent-kafka passes it to the callbacks of a rebalance."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""


def is_heartbeat(message: HasHeaders) -> bool:
    """Whether a record is a heartbeat of clocksvc.

    Heartbeats keep quiet partitions moving. Observe them like all other records, but do not process them. Does not
    block.

    Args:
        message: a Kafka message, such as confluent-kafka's; its `headers()` returns pairs of name and value, or None.
    """
    headers: Sequence[tuple[str, object]] = message.headers() or ()
    return any(name == HEARTBEAT_HEADER for name, _ in headers)
