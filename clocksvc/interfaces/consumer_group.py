"""One member of a Kafka consumer group, as the buffered consumer uses it, and the records that it returns.

All calls come from one thread. The methods of the listener are called while `consume` or `close` runs.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.compacted_topic import TableRecord


class ConsumedRecord(TableRecord, Protocol):
    """A record as confluent-kafka returns it. `len(record)` is the size of its value in bytes, 0 without a value."""

    def __len__(self) -> int: ...


class GroupListener(Protocol):
    """What a member must know. Called from `consume`, `commit` and `close`. No method may raise."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """These partitions were added, and are not paused. Does not block."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """These partitions are about to be removed. Until this method returns, their offsets can be committed.

        May block. The other members of the group wait meanwhile.
        """

    def lost(self, partitions: Sequence[Partition]) -> None:
        """These partitions were removed, and another member may have them already. Does not block."""

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Kafka has acknowledged a commit of these offsets. Does not block."""

    def commit_failed(self, offsets: Mapping[Partition, int], reason: str) -> None:
        """A commit of these offsets was rejected, or its outcome is not known. Does not block."""


class ConsumerGroup(Protocol):
    """A member of one group. Offsets are committed by `commit` only. Only one thread may use it."""

    def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        """Join the group. Does not block: the partitions are assigned in a later `consume`.

        Both kinds of rebalances are supported. In an eager one all partitions are revoked, then assigned. In an
        incremental one (cooperative assignors, and the protocol of KIP-848) only those that move.
        """

    def consume(self, count: int, timeout_s: float) -> Sequence[ConsumedRecord]:
        """Return the next records, at most `count`. Blocks for up to `timeout_s` until there is at least one record.

        The records of one partition are in the order of their offsets. Errors that can pass, such as a broker that does
        not answer, are logged, and [] is returned. A topic that does not exist, or a missing permission, is logged as
        an ERROR, and the consumer continues: both can be repaired while it runs.

        Raises:
            ConsumerFailed: this member can't continue, for example because another one with the same
                `group.instance.id` has replaced it.
        """

    def commit(self, offsets: Mapping[Partition, int], *, wait: bool) -> None:
        """Commit the offset of the next record of each partition. Never raises.

        Args:
            offsets: the next offset by partition.
            wait: False to return at once: the listener is called from a later `consume`. True to block until Kafka has
                answered; then the listener is called before this method returns.
        """

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Fetch no more records of these partitions. Does not block. Partitions that are not assigned are ignored.

        Records that were fetched before can still be returned by the next `consume`. No record is skipped.
        """

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Fetch records of these partitions again. Does not block. Partitions that are not assigned are ignored."""

    def close(self) -> None:
        """Leave the group, so that another member gets the partitions at once. Calls `revoked`. Blocks for up to 5 s.

        If Kafka does not answer within this time, the other members get the partitions when the session has expired.
        The listener is called in another thread, while this one waits.
        """
