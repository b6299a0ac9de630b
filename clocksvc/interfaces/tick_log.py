"""The tick log: a clock's ticks, durable and in order. It is the source of truth; the store can be rebuilt from it.

An implementation serves one clock. The log has one partition, and one writer at a time. Methods block. While a method
waits, it calls `keep_alive` about once a second, so that a leader can renew its lease. If `keep_alive` raises, the
method ends with this error. An object must not be used by two threads at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.log_record import Record

KeepAlive = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a tick log.

    Attributes:
        record: the last committed record; None if the log has none.
        first_offset: the first offset of the log; above 0 if records were deleted.
    """

    record: Record | None
    first_offset: int


class TickLog(Protocol):
    """The tick log of one clock."""

    @property
    def writable(self) -> bool:
        """True if this writer has fenced older writers and, as far as it knows, was not fenced or interrupted since."""

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        """Create the topic if it is missing, and check its settings.

        Raises:
            TickLogMisconfigured: the topic has several partitions, or a policy that can delete the last record.
            TickLogUnavailable: no answer.
        """

    def fence(self, keep_alive: KeepAlive) -> None:
        """Become the only writer, with a new producer. When this returns, records of older writers are rejected.

        Raises:
            TickLogUnavailable: no answer.
        """

    def tail(self, keep_alive: KeepAlive) -> Tail:
        """Read backwards from the present end of the log to the last committed record, and return this record.

        Call this only after `fence`, because it aborts transactions of earlier writers that the brokers have forgotten.

        Raises:
            OpenTransaction: another transactional id has an open transaction, and it stays open longer than a commit
                takes to become visible.
            UnreadableRecord: this version can't read the last record.
            Fenced: another writer fenced this one.
            TickLogUnavailable: no answer.
        """

    def backwards(self, keep_alive: KeepAlive) -> Iterator[Record]:
        """Iterate over all committed records, newest first. Reads on demand and skips unreadable records.

        Raises:
            OpenTransaction, TickLogUnavailable: as `tail`.
        """

    def last_written(self, keep_alive: KeepAlive) -> Sequence[Record]:
        """Read the newest records, committed or not, oldest first: at least the last two transactions.

        Skips unreadable records.

        Raises:
            OpenTransaction, TickLogUnavailable: as `tail`.
        """

    def append(self, records: Sequence[Record], keep_alive: KeepAlive) -> None:
        """Commit records in one transaction. When this returns, all are durable and visible in order.

        A broker that is killed immediately afterwards can forget that it acknowledged the commit. In that case,
        `last_written` still returns the records. After `await_commit_marker`, the commit can't be forgotten.

        Raises:
            Fenced: another writer fenced this one; nothing was written.
            OutcomeUnknown: the commit was not acknowledged, or its records are not visible. Call `fence` and `tail` to
                find out whether it took effect.
            TickLogUnavailable: nothing was committed.
        """

    def await_commit_marker(self, keep_alive: KeepAlive) -> None:
        """Wait until the marker of the last commit is in the log. From then on, the brokers can't forget the commit.

        This takes 1 to 2 ms, so ticks are published before it.

        Raises:
            OutcomeUnknown: the marker did not become visible. Call `fence` and `tail` to find out whether the commit
                took effect.
        """

    def close(self) -> None:
        """Close connections. Can be called at any time, and more than once."""
