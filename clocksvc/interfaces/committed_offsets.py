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
    """

    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The result of reading from an offset.

    Attributes:
        first: the first visible record; None if there is none.
        last: the last visible record before the wanted end; None if there is none.
        reached: the offset at which the read ended: the wanted end, or the last stable offset.
    """

    first: FoundRecord | None
    last: FoundRecord | None
    reached: int


class CommittedOffsets(Protocol):
    """Answers about groups, offsets and single records. Not thread-safe: one thread asks."""

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """Return the id and the number of partitions of each topic that Kafka describes."""

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        """Return the present offsets of partitions, in one request to each broker."""

    def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, GroupOffsets]:
        """Return the committed offsets of groups for some partitions, in one request to each group's coordinator."""

    def offsets_at(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Return, for each partition, the first offset with its timestamp or a later one.

        A partition without one is absent. The offset can be that of a marker or of an aborted record.
        """

    def read(self, partition: Partition, start: int, end: int, *, first_only: bool) -> ReadResult | None:
        """Read visible records from `start` on, up to before `end`; with `first_only`, up to the first one.

        Returns:
            None if the partition's leader does not answer.
        """

    def close(self) -> None:
        """Close connections."""
