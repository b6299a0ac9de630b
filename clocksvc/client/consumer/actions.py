"""What the driver of a consumer must do: the output of the state machine."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from clocksvc.client.consumer.watermark import Timestamps
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause

Item = TypeVar("Item")


class StartFlush(NamedTuple, Generic[Item]):
    """Flush these items. Then call `flush_succeeded` or `flush_failed` with the id.

    Attributes:
        flush_id: differs for each attempt.
        batch: the items. A retry has the same items, unless their partitions were revoked or lost, or the batch is
            searched for the items that fail.
    """

    flush_id: int
    batch: list[Item]


class SendDeadLetter(NamedTuple):
    """Send a record to the dead-letter topic. Then call `dead_letter_delivered` or `dead_letter_failed` with the id."""

    letter_id: int
    record: Any
    cause: Cause


class Commit(NamedTuple):
    """Commit the offset of the next record of each partition. Then call `committed` or `commit_failed`."""

    offsets: Mapping[Partition, int]


class Report(NamedTuple):
    """Report these timestamps to the clock. Kafka has acknowledged a commit that covers their records."""

    timestamps: Mapping[Partition, Timestamps]


class Pause(NamedTuple):
    """Pause these partitions."""

    partitions: Sequence[Partition]


class Resume(NamedTuple):
    """Resume these partitions."""

    partitions: Sequence[Partition]


class Fail(NamedTuple):
    """The consumer can't continue. It ends with this error, after `Drained` or its deadline."""

    error: Exception


class Drained(NamedTuple):
    """After `drain` or `Fail`: nothing is in progress, and everything that is done is committed."""


Action: TypeAlias = StartFlush[Item] | SendDeadLetter | Commit | Report | Pause | Resume | Fail | Drained
