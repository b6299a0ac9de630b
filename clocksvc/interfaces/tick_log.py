"""What keeps a clock's ticks for good, in order: the truth.

A keeper serves one clock: one log, one partition, one writer at a time. Calls block; a call that waits for the log
calls `waiting` about once a second, so that a leader can renew its lease or raise to give up. None is safe to call
from two threads at once.
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
        record: the last committed record; None where none is found from the log's beginning to its end.
        first_offset: where the log begins now; above 0 when something was deleted from it.
    """

    record: Record | None
    first_offset: int


class TickLog(Protocol):
    """One clock's ticks, for good."""

    @property
    def writable(self) -> bool:
        """Whether this writer has fenced, and as far as it knows was neither fenced nor interrupted since."""

    def ensure_topic(self, waiting: KeepAlive) -> None:
        """Create the log where it is missing, and check its shape.

        Raises:
            TickLogRefused: more than one partition, or a policy that can delete the last record.
            TickLogUnavailable: no answer.
        """

    def fence(self, waiting: KeepAlive) -> None:
        """Become the only writer: with a new producer; nothing of an older one lands after this returned.

        Raises:
            TickLogUnavailable: no answer.
        """

    def tail(self, waiting: KeepAlive) -> Tail:
        """The last committed record, read back from the log's end as the brokers know it now.

        Call it after `fence`: it draws a conclusion from an open transaction that no other reader may draw, and ends
        one of our own that a broker forgot.

        Raises:
            OpenTransaction: somebody else's transaction is open, for longer than a commit takes to show.
            UnreadableRecord: the last record is not one that this version reads.
            Fenced: somebody fenced this writer.
            TickLogUnavailable: no answer.
        """

    def backwards(self, waiting: KeepAlive) -> Iterator[Record]:
        """All committed records, newest first, read as they are asked for; what is no record of ours is passed over.

        Raises OpenTransaction and TickLogUnavailable as `tail` does.
        """

    def last_written(self, waiting: KeepAlive) -> Sequence[Record]:
        """Some of the newest records, two transactions at least, oldest first, whatever became of their transactions;
        what is no record of ours is passed over.

        Raises OpenTransaction and TickLogUnavailable as `tail` does.
        """

    def append(self, records: Sequence[Record], waiting: KeepAlive) -> None:
        """Commit records in one transaction: all are durable and visible in order when this returns, or none is.

        A broker that is killed at once may forget a commit of ticks that it answered (not of a control record: it
        is confirmed). They are among `last_written` then, and whoever published them knows that they were committed.

        Raises:
            Fenced: somebody fenced this writer; nothing was written.
            OutcomeUnknown: the commit was not answered, or is not seen in the log; the next `fence` and `tail` tell.
            TickLogUnavailable: nothing was committed.
        """

    def await_commit_marker(self, waiting: KeepAlive) -> None:
        """Wait until the end of the last commit stands in the log: from then on no broker forgets it. Not for every
        tick before it is published, it would come 1 to 2 ms later.

        Raises:
            OutcomeUnknown: it is not seen in the log; the next `fence` and `tail` tell.
        """

    def close(self) -> None:
        """Free connections. May be called at any time, more than once."""
