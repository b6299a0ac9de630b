"""A compacted topic as a table reads it: partition by partition, from the beginning, without a consumer group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class TableRecord(Protocol):
    """A committed record, as confluent-kafka returns it. A record without a value (a tombstone) deletes its key."""

    def topic(self) -> Any:
        """Return the topic's name."""

    def partition(self) -> Any:
        """Return the number of the partition."""

    def offset(self) -> Any:
        """Return the offset."""

    def timestamp(self) -> Any:
        """Return the timestamp type and the milliseconds since the epoch; -1 for no timestamp."""

    def key(self) -> Any:
        """Return the key as bytes; None if there is no key."""

    def value(self) -> Any:
        """Return the value as bytes; None for a tombstone."""

    def headers(self) -> Any:
        """Return pairs of name and value; None if there are no headers."""


class OffsetBounds(NamedTuple):
    """The offsets of a partition's first record and of its end.

    Attributes:
        end: the high watermark. All acknowledged records have lower offsets, also those behind an open transaction.
    """

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class TopicInspection:
    """What brokers answered about a topic.

    Attributes:
        id: the topic's id, which changes if the topic is recreated; "" if the broker gives no topic ids.
        partitions: the number of partitions.
        bounds: of the requested partitions that exist and could be read.
        failures: the requested partitions whose offsets can't be read, such as one without a leader, with the reason.
    """

    id: str
    partitions: int
    bounds: Mapping[int, OffsetBounds]
    failures: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CleanupSettings:
    """How Kafka cleans the topic. A setting that can't be read is None.

    Attributes:
        policy: `cleanup.policy`.
        delete_retention_ms: `delete.retention.ms`: a tombstone stays at least this long after the first cleaning.
    """

    policy: str | None = None
    delete_retention_ms: int | None = None


class Polled(NamedTuple):
    """The result of one poll.

    Attributes:
        records: the next records. Those of one partition are in the order of their offsets.
        ends: partitions that were read to their end (the last stable offset), with this offset. Aborted records,
            transaction markers and gaps before it were passed.
        out_of_range: partitions that can't be read from their position, because the log begins later or ends earlier,
            with the reason. Nothing more is read from them until they are started again.
        failures: partitions that can't be read now, with the reason. They are tried again.
    """

    records: Sequence[TableRecord] = ()
    ends: Mapping[int, int] = {}
    out_of_range: Mapping[int, str] = {}
    failures: Mapping[int, str] = {}


class CompactedTopic(Protocol):
    """Reads one topic. One thread may use `start`, `stop`, `poll` and `close`, and any thread `inspect`."""

    def inspect(self, partitions: Collection[int] | None) -> TopicInspection | None:
        """Ask brokers for the topic's id, its number of partitions, and the present bounds of partitions.

        Blocks for a few seconds at most.

        Args:
            partitions: the partitions whose bounds are wanted; None for all.

        Returns:
            None if the topic does not exist.

        Raises:
            TableUnavailable: no answer, or a request is not authorized.
        """

    def cleanup_settings(self) -> CleanupSettings:
        """Ask brokers how the topic is cleaned. Blocks for a few seconds at most. A missing permission is no error.

        Raises:
            TableUnavailable: no answer.
        """

    def start(self, offsets: Mapping[int, int]) -> None:
        """Read partitions from these offsets. A partition that is read already continues there.

        Raises:
            TableUnavailable: the client rejects it.
        """

    def stop(self, partitions: Collection[int]) -> None:
        """Do not read these partitions any more.

        Raises:
            TableUnavailable: the client rejects it.
        """

    def poll(self, timeout_s: float) -> Polled:
        """Return the next records, at most 10,000. Blocks for up to `timeout_s` if there are none.

        Raises:
            TableUnavailable: the client can't read.
        """

    def close(self) -> None:
        """Close connections. Can block for a few seconds."""
