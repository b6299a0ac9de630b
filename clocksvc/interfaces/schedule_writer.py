"""Writes one partition of a clock's compacted topic of schedules, for the partition's owner.

The owner is the only one that compares ETags before it writes. Other programs write the topic directly: the outbox
relay, and Python clients with `kafka=…`. So the records of a transaction need not have contiguous offsets.
"""

from collections.abc import Sequence
from typing import Protocol

from clocksvc.interfaces.tick_log import KeepAlive

ScheduleRecord = tuple[bytes, bytes | None]
"""The key and the value of a record. A record without a value (a tombstone) deletes the schedule."""


class ScheduleWriter(Protocol):
    """One partition. An object must not be used by two threads at once.

    Attributes:
        end: the end of the partition after the last `write`. Between its last record and this offset is no record, only
            the marker of its transaction. None if this is not known, because another program writes, too.
    """

    end: int | None

    def fence(self, keep_alive: KeepAlive) -> None:
        """Fence earlier owners, unless this was done in this term. When this returns, no earlier owner can write.

        Only the first call of a term, and the first one after an error, blocks: for up to a few seconds.

        Raises:
            SchedulesUnavailable: no answer.
        """

    def write(self, records: Sequence[ScheduleRecord], keep_alive: KeepAlive) -> list[int]:
        """Commit records in one transaction, and return their offsets.

        When this returns, all in-sync replicas have the records, and readers of committed records get them. Blocks for
        a few seconds at most.

        Raises:
            FencedAtCommit: another owner fenced this one; all records are written, or none.
            Fenced: the same, or `fence` was not called after an error; nothing was written.
            RecordRejected: the brokers reject some of the records; nothing was written.
            OutcomeUnknown: all records are written, some of them, or none.
            SchedulesUnavailable: Kafka does not answer; nothing was written.
        """

    def end_term(self) -> None:
        """End the owner's term: the next one must call `fence`. Returns at once."""

    def close(self) -> None:
        """Close connections. Can be called at any time, and more than once."""
