"""Collects the records of ticks, and appends them with the position to a partition of due records."""

from collections.abc import Iterable

from clocksvc.interfaces.due_log import DueLog, DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.schedules.due_log import Position, chained, is_missed, position_record

MAX_RECORDS = 20_000
"""The largest transaction. It bounds memory, and the time in which brokers must have acknowledged all records. A tick
with more records has several transactions, and only the last one has the position: a new owner passes over the rest."""


class DueAppender:
    """Appends for one term of an owner. It is not used again after an error.

    Attributes:
        newest_missed: the offset of the newest record of a missed run, which begins the chain; None if there is none.
        failed: True after an error of an append. Its outcome may be unknown.
        produce_s, commit_s: the seconds that appends took in total: see `Appended`.
    """

    def __init__(
        self,
        clock: str,
        due_log: DueLog,
        end: int,
        newest_missed: int | None,
        keep_alive: KeepAlive,
    ) -> None:
        self._clock, self._due_log, self._keep_alive = clock, due_log, keep_alive
        self._end = end
        self._records: list[DueLogRecord] = []
        self.newest_missed = newest_missed
        self.failed = False
        self.produce_s = self.commit_s = 0.0

    @property
    def pending(self) -> int:
        """The number of records that are not appended yet."""
        return len(self._records)

    def add(self, records: Iterable[DueLogRecord]) -> tuple[int, int]:
        """Add the records of a tick, and return how many are due and how many are missed runs.

        Raises:
            The errors of `DueLog.append`: a large tick is appended in parts.
        """
        due = missed = 0
        for record in records:
            if len(self._records) >= MAX_RECORDS:
                self._append(None)
            if is_missed(record):
                missed += 1
                record = chained(record, self.newest_missed)
                # A transaction begins exactly at the known end, otherwise it is not committed.
                self.newest_missed = self._end + len(self._records)
            else:
                due += 1
            self._records.append(record)
        return due, missed

    def commit(self, tick_ms: int) -> None:
        """Append what was added, and the position.

        Raises:
            The errors of `DueLog.append`.
        """
        self._append(position_record(self._clock, Position(tick_ms, self.newest_missed)))

    def _append(self, position: DueLogRecord | None) -> None:
        try:
            appended = self._due_log.append(self._records, position, self._end, self._keep_alive)
        except BaseException:
            self.failed = True
            raise
        self._end, self._records = appended.end, []
        self.produce_s += appended.produce_s
        self.commit_s += appended.commit_s
