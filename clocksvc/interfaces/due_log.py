"""One partition of a clock's topic of due records, with a single writer: the owner of this partition of schedules.

A transaction has due records and, after them, the position up to which everything was sent. A transaction that brokers
commit only in part is possible (a delayed request of an earlier transaction ends it), so a new owner reads from the
newest position to the end, and does not send again what is there.

Methods block. While a method waits, it calls `keep_alive` about once a second. If `keep_alive` raises, the method ends
with this error. An object must not be used by two threads at once.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from clocksvc.interfaces.tick_log import KeepAlive, LogBounds


class DueLogRecord(NamedTuple):
    """A record to be produced. Its partition is that of the schedule.

    Due records have no header `clocksvc-type`; other records have `missed` or `position`.
    """

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class DueLogEntry(NamedTuple):
    """One committed record with its offset. Another program can have written a record without a key or a value."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Appended(NamedTuple):
    """The result of one transaction.

    Attributes:
        end: the offset after the transaction and its marker, where the next one begins.
        produce_s: the seconds until all records were acknowledged.
        commit_s: the seconds from then until the commit was confirmed.
    """

    end: int
    produce_s: float = 0.0
    commit_s: float = 0.0


class DueLog(Protocol):
    """One partition."""

    def fence(self, keep_alive: KeepAlive) -> None:
        """Become the only writer, with a new producer. When this returns, records of older writers are rejected.

        Raises:
            DueLogUnavailable: no answer, or the topic does not exist.
        """

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the present bounds of the partition, in which no transaction is open.

        After `fence`, it also ends a transaction of an earlier owner that the brokers have forgotten. It waits at most
        5 s for the end of another program's transaction.

        Raises:
            OpenTransaction: a transaction is still open.
            Fenced: another writer fenced this one.
            DueLogUnavailable: no answer.
        """

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the bounds up to the first open transaction. Needs no fence, and does not wait for transactions.

        Raises:
            DueLogUnavailable: no answer.
        """

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[DueLogEntry]:
        """Return the committed records from offset `start` to before offset `end`, ascending.

        `end` must not be above that of the bounds. Markers, aborted and removed records are absent.

        Raises:
            DueLogUnavailable: no answer.
        """

    def retention_ms(self, keep_alive: KeepAlive) -> int | None:
        """Return how long Kafka keeps every record; None if it can remove records that are younger than any limit.

        Raises:
            DueLogUnavailable: no answer.
        """

    def append(
        self, records: Sequence[DueLogRecord], position: DueLogRecord | None, end: int, keep_alive: KeepAlive
    ) -> Appended:
        """Commit records in one transaction that begins exactly at offset `end`.

        The position is the last record. It is produced after all others were acknowledged, because brokers can commit
        a part of a transaction: a committed position means that all records before it are committed.

        When this returns, the commit is confirmed: all records are durable, visible and in order, and no other record
        is between them. If this raises, the partition may have all of them, some of the first ones, or none: call
        `fence` and `bounds`, and read from the newest position, before the next `append`.

        Args:
            position: None if it follows in a later transaction.
            end: the end of the partition, from `bounds` or the last `append`.

        Raises:
            OffsetGap: the transaction does not begin at `end`, its offsets are not contiguous, or another record
                follows.
            RecordRejected: the brokers reject some of the records, for example because they are too large.
            Fenced: another writer fenced this one, or `fence` was not called after a failure.
            OutcomeUnknown: the commit was not acknowledged, or is not visible.
            DueLogUnavailable: the transaction failed before its commit.
        """

    def close(self) -> None:
        """Close connections. Can be called at any time, and more than once."""
