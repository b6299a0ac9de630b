"""The interfaces of the outbox's relay: the changes that wait in a database, and the topic that they are written to.

The product writes changes in its own transactions. Changes of one id are committed in the order of their numbers,
because the transaction that writes a change locks its id. So the newest change of an id that a reader can see is at
least as new as the newest that any earlier reader has seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a schedule.

    Attributes:
        number: unique in the table. A later change of the same id has a higher number.
        id: the schedule's id.
        value: the schedule as JSON, as it was written; None to delete the schedule.
        created_ms: when the id was first written, in ms since the epoch.
    """

    number: int
    id: str
    value: str | None
    created_ms: int


class Oldest(NamedTuple):
    """The change that has waited longest: its number, and when it was written, by the product's clock."""

    number: int
    written_ms: int


class PendingChanges(Protocol):
    """The changes of one clock that wait in a database.

    Each method is one transaction of its own. It blocks at most for the time-outs of the database's driver.

    Raises:
        OutboxUnavailable: the database does not answer, or reports an error. Changes that were to be removed may be
            removed or not.
    """

    def newest(self, limit: int) -> list[Change]:
        """Return the newest change of each of the ids that have waited longest, at most of `limit` ids, by number."""

    def remove(self, changes: Sequence[Change]) -> None:
        """Remove these changes, and all older changes of their ids."""

    def reject(self, change: Change, problem: str) -> None:
        """Move one change to the rejected ones. Older changes of its id keep waiting. `problem` says what is wrong."""

    def oldest(self) -> Oldest | None:
        """Return the oldest change; None if no change waits."""

    def count(self) -> int:
        """Return how many changes wait. Reads all of them."""

    def close(self) -> None:
        """Close the connections."""


class OutboxTopic(Protocol):
    """The topic of a clock's schedules, as one relay writes it."""

    def fence(self) -> None:
        """Fence all earlier relays of this clock. No record of theirs is committed after this.

        Blocks for some seconds at most.

        Raises:
            Unavailable: Kafka does not answer.
            InvalidValue: the topic has another number of partitions than is configured.
        """

    def write(self, records: Mapping[str, bytes | None]) -> None:
        """Commit records in one transaction: the schedule of each id, or None to delete it.

        When this returns, all in-sync replicas have them, and readers of committed records get them. Call `fence`
        before the first use, and after any error.

        Raises:
            Fenced: another relay has fenced this one.
            OutcomeUnknown: the records may be committed.
            RecordRejected: the brokers reject the records with the error's keys, for example because they are too
                large. Nothing is committed.
            Unavailable: Kafka does not answer. Nothing is committed.
        """

    def close(self) -> None:
        """Close the connections. Does not wait for brokers."""
