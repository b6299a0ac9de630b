"""Collects the records of ticks, and appends them with the position to a partition of due records."""

import logging
from collections.abc import Iterable

from clocksvc.interfaces.due_log import DueLog, DueLogRecord
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.schedules.due_log import (
    Position,
    accepted_record,
    chained,
    is_missed,
    position_record,
    rejected_record,
)

logger = logging.getLogger("clocksvc.scheduler")

MAX_RECORDS, MAX_BYTES = 20_000, 16 * 2**20
"""The largest transaction, in records and in bytes of their values, which can have 64 KiB each. It bounds memory, and
the time in which brokers must have acknowledged all records. A tick with more has several transactions, and only the
last one has the position: a new owner does not send again what the others have."""
MAX_TASKS = 500
"""With a sink, a tick with more tasks is sent in parts of this size, and the ids of each part are appended: a new owner
does not send them again."""


class DueAppender:
    """Appends for one term of an owner. It is not used again after an error.

    With a sink, due records go there. The position, and missed runs, are appended once the sink has accepted them.

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
        sink: DueSink | None = None,
    ) -> None:
        self._clock, self._due_log, self._keep_alive, self._sink = clock, due_log, keep_alive, sink
        self._end = end
        self._records: list[DueLogRecord] = []
        self._tasks: list[DueLogRecord] = []
        self._bytes = 0
        self.newest_missed = newest_missed
        self.failed = False
        self.produce_s = self.commit_s = 0.0

    @property
    def pending(self) -> int:
        """The number of records that are not appended yet."""
        return len(self._records) + len(self._tasks)

    def add(self, records: Iterable[DueLogRecord]) -> tuple[int, int]:
        """Add the records of a tick, and return how many are due and how many are missed runs.

        Raises:
            The errors of `DueLog.append` and of `DueSink.send`: a large tick is appended in parts.
        """
        due = missed = 0
        for record in records:
            if len(self._records) >= MAX_RECORDS or self._bytes >= MAX_BYTES:
                self._append_part()
            self._bytes += len(record.value)
            if is_missed(record):
                missed += 1
                self._add_missed(record)
                continue
            due += 1
            if self._sink is None:
                self._records.append(record)
                continue
            self._tasks.append(record)
            if len(self._tasks) >= MAX_TASKS:
                self._append_part()
        return due, missed

    def commit(self, tick_ms: int | None) -> None:
        """Append what was added, and the position; None before the clock's first tick.

        Raises:
            The errors of `DueLog.append` and of `DueSink.send`.
        """
        if self._sink is not None and self._tasks:
            self._send(self._sink)
        self._append(position_record(self._clock, Position(tick_ms, self.newest_missed)))

    def _append_part(self) -> None:
        """Append without a position. Tasks come first: a new owner does not handle the ticks before the newest one of
        these records again."""
        if self._sink is not None and self._tasks:
            accepted = accepted_record(self._clock, self._tasks)
            self._send(self._sink)
            self._records.append(accepted)
        self._append(None)

    def _add_missed(self, record: DueLogRecord) -> None:
        # A transaction begins exactly at the known end, otherwise it is not committed.
        offset = self._end + len(self._records)
        self._records.append(chained(record, self.newest_missed))
        self.newest_missed = offset

    def _send(self, sink: DueSink) -> None:
        tasks, self._tasks = self._tasks, []
        try:
            rejected = sink.send(tasks, self._keep_alive)
        except BaseException:
            self.failed = True
            raise
        for record, problem in rejected:
            logger.error(
                "schedule %s of clock %s is recorded as missed, because its task is rejected: %s",
                *(record.key.decode(), self._clock, problem),
            )
            self._add_missed(rejected_record(self._clock, record))

    def _append(self, position: DueLogRecord | None) -> None:
        try:
            appended = self._due_log.append(self._records, position, self._end, self._keep_alive)
        except BaseException:
            self.failed = True
            raise
        self._end, self._records, self._bytes = appended.end, [], 0
        self.produce_s += appended.produce_s
        self.commit_s += appended.commit_s
