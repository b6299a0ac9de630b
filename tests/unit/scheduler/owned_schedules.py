"""An owned partition with schedules in a dictionary, for tests of what runs over one."""

from collections.abc import Sequence

from clocksvc.errors import ClocksvcError, RecordRejected
from clocksvc.interfaces.schedule_writer import ScheduleRecord
from clocksvc.scheduler.owned import MissedPage, OwnedPartition


class OwnedInMemory(OwnedPartition):
    """What was written is visible after the next `read_to_end`, as in a partition.

    Attributes:
        written: all records in order; their indices are their offsets.
        transactions: the number of calls of `write` with records.
        after_write: an error that `write` has after it has written.
        rejects: keys whose records are rejected, with all others of their transaction.
    """

    clock, number = "checkins", 0

    def __init__(self) -> None:
        self.written: list[ScheduleRecord] = []
        self.transactions = 0
        self.after_write: ClocksvcError | None = None
        self.rejects: set[bytes] = set()
        self._visible: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._visible.get(key)

    def scan(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        keys = sorted(key for key in self._visible if key.startswith(prefix) and (after is None or key > after))
        return [(key, self._visible[key]) for key in keys[:limit]]

    def read_to_end(self) -> None:
        newest = dict(self.written)
        self._visible = {key: value for key, value in newest.items() if value is not None}

    def write(self, records: Sequence[ScheduleRecord]) -> list[int]:
        if not records:
            return []
        self.transactions += 1
        if rejected := self.rejects.intersection(key for key, _ in records):
            raise RecordRejected(list(rejected))
        first = len(self.written)
        self.written += records
        if self.after_write is not None:
            raise self.after_write
        return list(range(first, len(self.written)))

    def missed(self, before: int | None, limit: int) -> MissedPage:
        return MissedPage([], None)
