"""One partition during one assignment to this consumer: its watermark, and which offsets were committed. No I/O."""

from functools import reduce
from typing import NamedTuple

from clocksvc.client.consumer.watermark import Timestamps, Watermark, joined
from clocksvc.clock.partition import Partition


class _Commit(NamedTuple):
    offset: int
    timestamps: Timestamps | None


class Assignment:
    """A partition from the moment it was assigned until it is revoked or lost.

    If the same partition is assigned again, that is another Assignment. So a late result of the earlier one can't be
    taken for a result of the present one.

    Attributes:
        partition: the partition.
        watermark: up to which offset its records are done.
        active: False after the partition was revoked or lost. All later results are ignored.
        committed: the offset that Kafka acknowledged last; None before the first acknowledgement.
    """

    __slots__ = ("_commits", "active", "committed", "partition", "watermark")

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.watermark = Watermark()
        self.active = True
        self.committed: int | None = None
        self._commits: list[_Commit] = []

    @property
    def uncommitted(self) -> bool:
        """True if the watermark is at an offset that Kafka has not acknowledged. A commit of it may be in progress."""
        return self.watermark.position not in (None, self.committed)

    @property
    def uncommitted_records(self) -> int:
        """The offsets between the last received record and the last acknowledged commit; 0 without such a commit."""
        received = self.watermark.received
        return 0 if received is None or self.committed is None else received - self.committed

    @property
    def all_committed(self) -> bool:
        """True if all received records are done, and Kafka has acknowledged a commit of them."""
        return self.watermark.idle and not self.uncommitted

    def begin_commit(self) -> int:
        """Return the offset to commit. Call this only if `uncommitted` is true."""
        offset = self.watermark.position
        assert offset is not None
        self._commits.append(_Commit(offset, self.watermark.take_timestamps()))
        return offset

    def acknowledge(self, offset: int) -> Timestamps | None:
        """Kafka acknowledged a commit. Returns the timestamps to report: those of the records that are now committed.

        It contains all commits before it, also those without an answer.
        """
        index = self._index(offset)
        if index is None:
            return None
        self.committed = offset
        contained, self._commits = self._commits[: index + 1], self._commits[index + 1 :]
        return reduce(joined, (commit.timestamps for commit in contained))

    def fail(self, offset: int) -> None:
        """A commit failed, or its outcome is not known. Its records are committed and reported with a later commit."""
        index = self._index(offset)
        if index is None:
            return
        failed = self._commits.pop(index)
        if index < len(self._commits):
            later = self._commits[index]
            self._commits[index] = _Commit(later.offset, joined(failed.timestamps, later.timestamps))
        else:
            self.watermark.restore_timestamps(failed.timestamps)

    def _index(self, offset: int) -> int | None:
        return next((index for index, commit in enumerate(self._commits) if commit.offset == offset), None)
