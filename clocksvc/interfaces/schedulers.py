"""The replicas of `clocksvc scheduler`: what they announce, and the leases on the partitions of a clock's schedules.

An implementation serves one clock. All of this is in the store, which can lose it at any time. A lease decides quickly
which replica tries to own a partition; Kafka fences the previous owner. So the loss of the store stops no owner.

Each method is atomic, can be called from any thread, and blocks for at most the implementation's timeout. If the store
does not answer, the method raises StoreUnavailable. A write may have taken effect then; it is safe to repeat it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Stats = Mapping[str, Any]
"""The statistics of one partition in one replica, as a JSON object: the fields of `PartitionStats`.
They are shown, and no decision depends on them."""


@dataclass(frozen=True, slots=True)
class SchedulerAnnouncement:
    """What a live replica announces about the partitions of one clock.

    Attributes:
        replica: a unique name: `host:pid` and an id, with a space in between.
        address: the URL at which other processes reach the replica's HTTP server, without a path.
        leaving: True once the replica is about to end. It works until other replicas own its partitions.
        loaded: the partitions that the replica can own at once: it has read them to their ends, and follows them.
            Includes `owned`.
        owned: the partitions that it owns: it has fenced the previous owner.
        failing: the partitions with which it has had a problem for some time. Other replicas are preferred for them.
        stats: by partition, also while a partition is being loaded.
    """

    replica: str
    address: str
    leaving: bool = False
    loaded: frozenset[int] = frozenset()
    owned: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()
    stats: Mapping[int, Stats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartitionLease:
    """The lease on one partition.

    Attributes:
        token: identifies the acquisition.
        replica, address: those of the announcement of the replica that has it.
    """

    token: str
    replica: str
    address: str


@dataclass(frozen=True, slots=True)
class SchedulersReading:
    """The replicas and the leases of one clock, read at one moment.

    Attributes:
        now_ms: the store's own clock.
        announcements: the live replicas, in the order of their names.
        announcements_complete_since_ms: store time of the first announcement after the store last lost announcements.
            The store has all announcements since then. None if there is no announcement yet.
        leases: by partition. A partition without a valid lease is absent.
    """

    now_ms: int
    announcements: tuple[SchedulerAnnouncement, ...]
    announcements_complete_since_ms: int | None
    leases: Mapping[int, PartitionLease] = field(default_factory=dict)

    def owner(self, partition: int) -> SchedulerAnnouncement | None:
        """Return the live replica that owns a partition; None if no replica does.

        Requests are sent to its address. During a takeover this is the replica that works until it is fenced, not yet
        the one that has the lease. It can be out of date by the interval of the announcements, a second.
        """
        owners = [one for one in self.announcements if partition in one.owned]
        lease = self.leases.get(partition)
        return next((one for one in owners if lease and one.replica == lease.replica), owners[0] if owners else None)


class Schedulers(Protocol):
    """The replicas of the scheduler, and the leases on the partitions of one clock's schedules."""

    def announce(
        self, announcement: SchedulerAnnouncement, ttl_ms: int, tokens: Mapping[int, str]
    ) -> SchedulersReading:
        """Announce a live replica, renew its leases, and return the state after this. Replicas call it once a second.

        Args:
            ttl_ms: how long the announcement and the leases are valid from now. All replicas use the same value.
            tokens: by partition: a lease with this token is renewed. If the partition has no lease, because it expired
                or the store lost it, the replica acquires it with this token. Another token's lease stays.
        """

    def acquire(
        self, partition: int, token: str, announcement: SchedulerAnnouncement, ttl_ms: int, instead_of: str | None
    ) -> bool:
        """Acquire the lease on a partition for the replica of an announcement.

        Args:
            token: a new token.
            instead_of: the token of the lease that is replaced; None if there must be no lease.

        Returns:
            True if `token` has the lease now. False if the lease is not the expected one.
        """

    def release(self, partition: int, token: str) -> None:
        """Release the lease on a partition if `token` has it."""

    def withdraw(self, replica: str, tokens: Mapping[int, str]) -> None:
        """Remove the announcement of a replica that ends, and release its leases."""

    def read(self) -> SchedulersReading:
        """Return the live replicas and the leases. Used by processes other than schedulers."""
