"""What an observer of committed offsets asks Kafka, in few requests for all clocks of a process.

No method joins a group, commits, or changes anything. Each blocks for a few seconds at most. A partition or a group
whose broker does not answer is left out of the result, or has a reason; the others are not affected.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.partition import Partition


@dataclass(frozen=True, slots=True)
class PartitionEnds:
    """Offsets of one partition, from its leader.

    Attributes:
        low, high: the low watermark; and the high watermark, which includes records of open transactions.
        epoch: the leader's epoch.
    """

    low: int
    high: int
    epoch: int


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    """The offsets that a group has committed.

    Attributes:
        offsets: by partition. A partition without a committed offset is absent.
        problem: why they are not known, such as a missing permission, or a group without ordered offsets; "" if they
            are.
    """

    offsets: Mapping[Partition, int]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A visible record: committed, no marker, not aborted.

    Attributes:
        timestamp_ms: -1 if it has none.
        create_time: True if the timestamp has the type CreateTime: the producer has set it.
    """

    offset: int
    timestamp_ms: int
    create_time: bool = True


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A question about the visible records of a partition.

    Attributes:
        start, end: offsets: from `start` on, up to before `end`. Records below the low watermark are gone.
        first_only: True if only the first visible record is wanted.
    """

    partition: Partition
    start: int
    end: int
    first_only: bool = False


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The answer to a `ReadRequest`.

    Attributes:
        first: the first visible record; None if there is none.
        last: the last visible record that was read; None if there is none.
        reached: the offset at which the read ended. With `first_only`, that of the first visible record. Otherwise the
            wanted end, or the last stable offset, if this is below the end, but at least `start`.
    """

    first: FoundRecord | None
    last: FoundRecord | None
    reached: int


class CommittedOffsets(Protocol):
    """Answers about groups, offsets and single records. Not thread-safe: one thread asks."""

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """Return the id and the number of partitions of each topic that Kafka describes."""

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        """Return the present offsets of partitions, in two requests to each broker.

        A partition whose leader does not answer is absent.
        """

    def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, GroupOffsets]:
        """Return the committed offsets of groups for some partitions, in one request for each group.

        A group whose coordinator does not answer is absent.
        """

    def offsets_at(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Return, for each partition, the first offset with its timestamp or a later one.

        A partition without one is absent. The offset can be that of a marker or of an aborted record.
        """

    def read(self, requests: Collection[ReadRequest]) -> Mapping[ReadRequest, ReadResult]:
        """Read visible records of many partitions at the same time. Requests may name the same partition.

        A request is absent from the result if the partition's leader does not answer, or if there were too many records
        for the time.
        """

    def problem(self, topic: str) -> str:
        """Return why the last requests about a topic failed, such as a missing permission; "" if they succeeded."""

    def close(self) -> None:
        """Close connections."""
