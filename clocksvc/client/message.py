"""The types of messages that a Reporter accepts. Messages of confluent-kafka have them. Imports no Kafka client."""

from collections.abc import Sequence
from typing import Any, Protocol

from clocksvc.interfaces.topics import HEARTBEAT_HEADER


class HasHeaders(Protocol):
    """A message with a method that returns its headers, such as one of confluent-kafka."""

    def headers(self) -> Any:
        """Pairs of name and value, or None."""


class HasHeaderPairs(Protocol):
    """A record with its headers as an attribute, such as one of aiokafka."""

    @property
    def headers(self) -> Sequence[tuple[str, Any]]:
        """Pairs of name and value."""


class KafkaMessage(Protocol):
    """A record as confluent-kafka returns it, or an error event."""

    def topic(self) -> str | None:
        """Return the topic's name."""

    def partition(self) -> Any:
        """Return the number of the partition; None for some events."""

    def timestamp(self) -> Any:
        """Return the timestamp type and the milliseconds since the epoch; -1 for no timestamp."""

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


def is_heartbeat(message: HasHeaders | HasHeaderPairs) -> bool:
    """Return True if a record is a heartbeat of clocksvc.

    With heartbeats, a partition's clock advances even if it gets no other records. Observe heartbeats like all other
    records, but do not process them. This function does not block.

    Args:
        message: a Kafka message of confluent-kafka or aiokafka, or a similar one. `message.headers()`, or the attribute
            `message.headers`, must be pairs of name and value, or None.
    """
    found: Any = message.headers
    headers: Sequence[tuple[str, object]] = (found() if callable(found) else found) or ()
    return any(name == HEARTBEAT_HEADER for name, _ in headers)
