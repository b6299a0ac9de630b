"""What functions that run in the thread of a partition's owner can use: see `SchedulePartition.call`."""

from collections.abc import Sequence
from itertools import islice

from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.interfaces.due_log import DueLog
from clocksvc.interfaces.schedule_writer import ScheduleRecord, ScheduleWriter
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.scheduler.key_index import KeyIndex
from clocksvc.scheduler.missed_runs import MissedPage, MissedRun, read_missed_runs
from clocksvc.scheduler.term import OwnerTerm
from clocksvc.schedules.entry import Entry

__all__ = ["MissedPage", "MissedRun", "OwnedPartition"]

READ_TIMEOUT_S = 5.0


class OwnedPartition:
    """One partition, in the thread of its owner, for one term. Keep no reference to it after the function has returned.

    Attributes:
        clock: the clock's name.
        number: the number of the partition.
    """

    def __init__(
        self,
        clock: str,
        number: int,
        table: CompactedTable[Entry],
        writer: ScheduleWriter,
        due_log: DueLog,
        term: OwnerTerm,
        time: Time,
        keep_alive: KeepAlive = lambda: None,
    ) -> None:
        self.clock, self.number = clock, number
        self._table, self._writer, self._due_log = table, writer, due_log
        self._term, self._time, self._keep_alive = term, time, keep_alive
        self._index: KeyIndex | None = None

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a schedule's record; None if there is no such schedule. Does not block.

        A record that is no valid schedule counts as none.
        """
        entry = self._table.get(key, self.number)
        return None if entry is None else entry.value

    def scan(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys and values in the order of keys, from after the key `after` on, at most `limit`. Does not block.

        The first call for a million schedules takes about a second. Later ones take about as long as their results.
        """
        if self._index is None:
            self._index = KeyIndex(key for key, _ in self._table.items(self.number))
        found = islice(self._index.pages(prefix, after, self._table.__contains__), limit)
        return [(key, value) for key in found if (value := self.get(key)) is not None]

    def read_to_end(self) -> None:
        """Wait until the table has all that was acknowledged before this call. Blocks for a few seconds at most.

        No earlier owner can write after this. So a function that reads to the end, compares and writes can't overwrite
        what another owner has acknowledged.

        Raises:
            TableUnavailable: the end was not reached in time.
            SchedulesUnavailable: the previous owner can't be fenced, because Kafka does not answer.
        """
        self._writer.fence(self._keep_alive)
        self._table.read_to_end(self.number, READ_TIMEOUT_S)

    def write(self, records: Sequence[ScheduleRecord]) -> list[int]:
        """Write records in one transaction, and return their offsets. Call `read_to_end` before.

        When this returns, all in-sync replicas have the records. `get` and `scan` see them after the next
        `read_to_end`.

        Raises:
            FencedAtCommit, Fenced, RecordRejected, OutcomeUnknown, SchedulesUnavailable: see `ScheduleWriter.write`.
        """
        if not records:
            return []
        offsets = self._writer.write(records, self._keep_alive)
        if self._writer.end is not None:
            self._table.skip(self.number, offsets[-1] + 1, self._writer.end)
        return offsets

    def missed(self, before: int | None, limit: int) -> MissedPage:
        """Return missed runs, newest first, without scanning the topic of due records.

        Blocks for about a second at most: the page can have less than `limit` runs, although more follow.

        Args:
            before: `next` of another page; None for the newest ones.

        Raises:
            InvalidValue: `before` is not `next` of another page.
            DueLogUnavailable: no answer.
        """
        newest = self._term.newest_missed
        return read_missed_runs(self._due_log, newest, before, limit, self._time, self._keep_alive)

    def change(self, key: bytes, old: Entry | None, new: Entry | None) -> None:
        """A schedule was changed in the table."""
        if self._index is not None and (old is None) != (new is None):
            self._index.change(key, added=new is not None)
