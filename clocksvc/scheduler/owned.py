"""What functions that run in the thread of a partition's owner can use: see `SchedulePartition.call`."""

from collections.abc import Sequence
from typing import NamedTuple

from clocksvc.interfaces.schedule_writer import ScheduleRecord
from clocksvc.schedules.wheel import Missed


class MissedRun(NamedTuple):
    """Due times of a schedule that were not sent, as they were recorded at a tick."""

    offset: int
    tick_ms: int
    missed: Missed


class MissedPage(NamedTuple):
    """Missed runs, newest first. `next` is the argument `before` for the page after this one; None at the end."""

    runs: list[MissedRun]
    next: int | None


class OwnedPartition:
    """One partition, in the thread of its owner. Keep no reference to it after the function has returned.

    Attributes:
        clock: the clock's name.
        number: the number of the partition.
    """

    clock: str
    number: int

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a schedule's record; None if there is no such schedule. Does not block.

        A record that is no valid schedule counts as none.
        """
        raise NotImplementedError

    def scan(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys and values in the order of keys, from after the key `after` on, at most `limit`. Does not block.

        The first call for a million schedules takes about a second. Later ones take about as long as their results.
        """
        raise NotImplementedError

    def read_to_end(self) -> None:
        """Wait until the table has all that was acknowledged before this call. Blocks for up to 10 s.

        No earlier owner can write after this. So a function that reads to the end, compares and writes can't overwrite
        what another owner has acknowledged.

        Raises:
            TableUnavailable: the end was not reached in time.
            SchedulesUnavailable: the owner before this one can't be fenced, because Kafka does not answer.
        """
        raise NotImplementedError

    def write(self, records: Sequence[ScheduleRecord]) -> list[int]:
        """Write records in one transaction, and return their offsets. Call `read_to_end` before.

        When this returns, all in-sync replicas have the records. `get` and `scan` see them after the next
        `read_to_end`.

        Raises:
            Fenced, RecordRejected, OutcomeUnknown, SchedulesUnavailable: see `ScheduleWriter.write`.
        """
        raise NotImplementedError

    def missed(self, before: int | None, limit: int) -> MissedPage:
        """Return runs that were missed, newest first, without scanning the topic of due records.

        Blocks for about a second at most: the page can have less than `limit` runs, although more follow.

        Args:
            before: `next` of another page; None for the newest ones.

        Raises:
            InvalidValue: `before` is not `next` of another page.
            DueLogUnavailable: no answer.
        """
        raise NotImplementedError
