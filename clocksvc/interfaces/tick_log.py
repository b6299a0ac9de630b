"""The tick log: the ticks of all clocks, durable and in order. It is the source of truth; the store can be rebuilt
from it.

An implementation serves one log, which is one partition of the tick log's topic, and has one writer at a time. Methods
block. While a method waits, it calls `keep_alive` about once a second, so that a leader can renew its lease. If
`keep_alive` raises, the method ends with this error. An object must not be used by two threads at once.

Offsets are part of the interface. A transaction of n records occupies n + 1 offsets: its records, and the marker that
ends it. A writer knows the end of the log, and each of its transactions must begin exactly there.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from clocksvc.clock.log_record import LogEntry, Message

KeepAlive = Callable[[], None]


def no_keep_alive() -> None:
    """The KeepAlive of a caller that has nothing to do while a method waits."""


class LogBounds(NamedTuple):
    """The offsets of a log: the first one that is kept, and the one after the last. They are equal if it is empty."""

    first: int
    end: int


class TickLog(Protocol):
    """One log."""

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        """Create the topic if it is missing, and check its settings.

        Raises:
            TickLogMisconfigured: the topic has another number of partitions, or a policy that can delete the last
                record of a clock.
            TickLogUnavailable: no answer.
        """

    def fence(self, keep_alive: KeepAlive) -> None:
        """Become the only writer, with a new producer. When this returns, records of older writers are rejected.

        Raises:
            TickLogUnavailable: no answer.
        """

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the bounds of the log up to the first open transaction. Does not wait for the transaction's end.

        Raises:
            TickLogUnavailable: no answer.
        """

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        """Return the present bounds of the log, in which no transaction is open.

        After `fence`, it also ends a transaction of an earlier writer of this log that the brokers have forgotten. It
        waits at most 5 s for the end of another program's transaction.

        Raises:
            OpenTransaction: a transaction is still open.
            Fenced: another writer fenced this one.
            TickLogUnavailable: no answer.
        """

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        """Return the committed records from offset `start` to before offset `end`, ascending.

        `end` must not be above the end of `bounds` or `stable_bounds`. Markers, aborted records and compacted records
        are absent.

        Raises:
            TickLogUnavailable: no answer.
        """

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        """Return an offset at or before the first record that was appended at or after a time; the end if there is
        none.

        Raises:
            TickLogUnavailable: no answer.
        """

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        """Commit messages in one transaction that begins exactly at offset `end`, and return the new end.

        When this returns, the commit is confirmed: the messages are durable, visible and in order, their marker is in
        the log, and no other record is. If this raises, the log may contain all messages, some of the first ones, or
        none: call `fence` and `bounds`, and read the log, before the next `append`. No messages: no transaction.

        Raises:
            OffsetGap: the transaction does not begin at `end`, its offsets are not contiguous, or another record
                follows. `end` was stale, another program wrote, or a delayed request of an earlier transaction ended
                this one.
            RecordRejected: the brokers reject some of the messages, for example because they are too large. The error
                contains their keys.
            Fenced: another writer fenced this one, or `fence` was not called after a failure.
            OutcomeUnknown: the commit was not acknowledged, or is not visible.
            TickLogUnavailable: the transaction failed before its commit.
        """

    def close(self) -> None:
        """Close connections. Can be called at any time, and more than once."""
