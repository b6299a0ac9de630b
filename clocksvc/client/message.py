"""What a consumer hands over: anything shaped like a confluent-kafka Message. Must load no Kafka client."""

from collections.abc import Sequence
from typing import Any, Protocol

from clocksvc.interfaces.topics import HEARTBEAT_HEADER


class HasHeaders(Protocol):
    """A message with headers."""

    def headers(self) -> Any:
        """Pairs of name and value, or None."""


class Message(Protocol):
    """A record as confluent-kafka gives it, or an event in its place."""

    def topic(self) -> str | None:
        """The topic's name."""

    def partition(self) -> Any:
        """The partition's number; None for some events."""

    def timestamp(self) -> Any:
        """The pair of timestamp type and milliseconds since the epoch; -1 where there is none."""

    def error(self) -> Any:
        """None for a record; an event has an error."""


class TopicPartition(Protocol):
    """A partition as confluent-kafka hands it to the callbacks of a rebalance."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""


def is_heartbeat(message: HasHeaders) -> bool:
    """Whether a record is a heartbeat: drop it, after observing it like every other record."""
    headers: Sequence[tuple[str, object]] = message.headers() or ()
    return any(name == HEARTBEAT_HEADER for name, _ in headers)
