"""What a table of a compacted topic shows of itself: progress, state and counters, for people and metrics."""

from typing import NamedTuple

from clocksvc.client.consumer.table_partition import PartitionProgress


class TableProgress(NamedTuple):
    """How far a table is read. `partitions` are in the order of their numbers."""

    partitions: tuple[PartitionProgress, ...]

    @property
    def records(self) -> int:
        """The number of records read since the table was created."""
        return sum(partition.records for partition in self.partitions)

    @property
    def left(self) -> int:
        """The number of offsets up to the ends: at most so many records are left."""
        return sum(partition.left for partition in self.partitions)

    @property
    def fraction(self) -> float:
        """The part of all offsets that was read: 0 to 1. 1 if there are none."""
        offsets = sum(partition.end - partition.begin for partition in self.partitions)
        return 1.0 if offsets <= 0 else min(1.0, 1 - self.left / offsets)


class TableState(NamedTuple):
    """Whether a table follows its topic.

    Attributes:
        status: `loading` until all partitions were read to their ends, then `ready`; `unavailable` while records can't
            be read, although the contents can; `closed`.
        since_ms: when a problem began, or when the last one ended (ms since the epoch).
        problem: why records can't be read; None if there is no known problem.
    """

    status: str
    since_ms: int
    problem: str | None


class TableCounts(NamedTuple):
    """Counters since the table was created, for metrics.

    Attributes:
        records: records that were read, including tombstones and unreadable ones.
        tombstones: records without a value.
        unreadable: records without a key, or for which `decode` raised an exception.
        change_errors: exceptions of `on_change`.
        reloads: how many times a partition was loaded again.
        crashes: unexpected errors of the table's thread. All partitions are loaded again after each.
    """

    records: int
    tombstones: int
    unreadable: int
    change_errors: int
    reloads: int
    crashes: int
