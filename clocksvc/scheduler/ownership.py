"""Which replica should own a partition of schedules, and what a replica does about it. Pure functions, without I/O.

A partition is moved without a gap: its new owner loads it first, then acquires the lease, and then fences the previous
owner, which works until then. Kafka's fence makes this safe, even if the store is wrong. The lease only decides
which replica fences, so that two replicas don't fence each other again and again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from clocksvc.interfaces.schedulers import SchedulerAnnouncement, SchedulersReading
from clocksvc.runtime.rendezvous import preference
from clocksvc.scheduler.partition_state import PartitionState

ANNOUNCE_EVERY_S = 1.0
"""How often a replica announces itself."""
TTL_MS = 3_000
"""How long announcements and leases are valid. A partition of a replica that was killed is loaded elsewhere after it.
It must be longer than ANNOUNCE_EVERY_S plus the store's usual delays; a lease that expires early stops no owner."""
COMPLETE_AFTER_MS = 1_500
"""The time in which all live replicas announce themselves after the store lost its announcements. It must be longer
than ANNOUNCE_EVERY_S."""
TAKE_OVER_AFTER_S = 10.0
"""How long a preferred replica is loaded before it takes a partition over from an owner that works. So a replica that
crashes soon after its start moves nothing."""
REPLACE_FAILING_AFTER_S = 3.0
"""The same for an owner with a problem. It is longer than two announcements, because the problem may end for both."""
RANK_DELAY_S = 1.0
"""How long a replica waits for each preferred one that could also acquire a free lease."""


class Action(Enum):
    """What a replica does about one partition."""

    NONE = "none"
    OPEN = "open"
    CLOSE = "close"
    ACQUIRE = "acquire"
    FENCE = "fence"
    STAND_BY = "stand_by"


@dataclass(frozen=True, slots=True)
class OwnPartition:
    """A partition in this replica.

    Attributes:
        state: its present state.
        token: the token with which this replica last acquired the lease; None if it has released the lease.
        confirmed: True once the lease was still this replica's after it became the owner.
        loaded_s: for how long it has been loaded.
        free_s: for how long no replica has had the lease.
        failing: True if other replicas are preferred, after a problem of this one.
    """

    state: PartitionState
    token: str | None = None
    confirmed: bool = False
    loaded_s: float = 0.0
    free_s: float = 0.0
    failing: bool = False


class Outlook:
    """What a replica knows about the partitions of one clock after an announcement.

    Attributes:
        complete: True if the store has the announcements of all live replicas. If it lost them, no partition moves
            until they are there again.
        owners: the replica that should own each partition. Empty if all replicas are leaving.
        alone: True if no other replica could own a partition.

    Args:
        replica: this replica.
        started: True once announcements were complete for this replica. Before, it loads partitions already, so that
            its start does not wait for them.
    """

    def __init__(self, clock: str, partitions: int, replica: str, reading: SchedulersReading, started: bool) -> None:
        since_ms = reading.announcements_complete_since_ms
        self.complete = since_ms is not None and reading.now_ms - since_ms >= COMPLETE_AFTER_MS
        self.owners = preferred_owners(clock, partitions, reading.announcements)
        self.alone = all(one.replica == replica or one.leaving for one in reading.announcements)
        self._clock = clock
        self._replica = replica
        self._reading = reading
        self._started = started
        self._live = {one.replica: one for one in reading.announcements}

    def decide(self, partition: int, own: OwnPartition | None) -> Action:
        """Return what this replica does about a partition; `own` is None if it has not opened it."""
        wanted = self.owners.get(partition) == self._replica
        if own is None:
            return Action.OPEN if wanted and (self.complete or not self._started) else Action.NONE
        lease = self._reading.leases.get(partition)
        mine = lease is not None and lease.token == own.token
        if own.state is PartitionState.OWNER:
            return Action.NONE if self._works_on(partition, own) else Action.STAND_BY
        if self._leaving(self._replica):
            return Action.CLOSE
        if own.state is PartitionState.LOADING:
            return Action.NONE if wanted or mine else Action.CLOSE
        if own.token is not None:
            return Action.FENCE if mine and not own.failing else Action.STAND_BY
        if not wanted and self._owned_elsewhere(partition):
            return Action.CLOSE
        return Action.ACQUIRE if self._may_acquire(partition, own, wanted) else Action.NONE

    @property
    def other_is_healthy(self) -> bool:
        """True if another live replica is healthy: it is not leaving, and has no problem itself.

        A replica with a problem may have the same one: a broker that all need is down.
        """
        return any(name != self._replica and not one.leaving and not one.failing for name, one in self._live.items())

    def _works_on(self, partition: int, own: OwnPartition) -> bool:
        lease = self._reading.leases.get(partition)
        if lease is None or lease.token == own.token:
            return own.token is not None
        # Another replica has the lease. The owner works until that replica has fenced it. It usually learns from the
        # announcement that this has happened, because it appends nothing before the next tick. If the lease was lost
        # before the own fence was complete, this replica may have fenced the right owner.
        new = self._live.get(lease.replica)
        return own.confirmed and (new is None or partition not in new.owned)

    def _may_acquire(self, partition: int, own: OwnPartition, wanted: bool) -> bool:
        if own.failing or not self.complete:
            return False
        lease = self._reading.leases.get(partition)
        if lease is None:
            rank = self._rank(partition)
            return rank is not None and own.free_s >= rank * RANK_DELAY_S
        owner = self._live.get(lease.replica)
        if owner is None or owner.leaving:
            return wanted
        failing = partition in owner.failing
        return wanted and own.loaded_s >= (REPLACE_FAILING_AFTER_S if failing else TAKE_OVER_AFTER_S)

    def _leaving(self, replica: str) -> bool:
        return replica in self._live and self._live[replica].leaving

    def _owned_elsewhere(self, partition: int) -> bool:
        return any(partition in one.owned and not one.leaving for one in self._live.values())

    def _rank(self, partition: int) -> int | None:
        """Return how many replicas should acquire a free lease before this one; None if this one can't."""
        able = [name for name, one in self._live.items() if not one.leaving and partition in one.loaded]
        preferred = self.owners.get(partition)
        able.sort(key=lambda name: (name != preferred, preference(_subject(self._clock, partition), name)))
        return able.index(self._replica) if self._replica in able else None


def preferred_owners(
    clock: str, partitions: int, announcements: Collection[SchedulerAnnouncement]
) -> Mapping[int, str]:
    """Return the replica that should own each partition.

    Partitions prefer replicas by rendezvous hashing over those that are not leaving. The numbers of partitions of two
    replicas differ by at most one, unless replicas are failing. A partition with which a replica is failing prefers
    those that fail with none: a replica with any problem may have the same one.
    """
    present = [one for one in announcements if not one.leaving]
    failing = frozenset((number, one.replica) for one in present for number in one.failing)
    return _share(clock, partitions, tuple(sorted(one.replica for one in present)), failing)


@lru_cache(maxsize=32)  # it is the same at most announcements, and takes some ms for many partitions
def _share(
    clock: str, partitions: int, replicas: tuple[str, ...], failing: frozenset[tuple[int, str]]
) -> Mapping[int, str]:
    if not replicas:
        return {}
    smallest, extra = divmod(partitions, len(replicas))
    counts = dict.fromkeys(replicas, 0)
    owners: dict[int, str] = {}
    healthy = sorted(set(replicas) - {replica for _, replica in failing}) or replicas
    avoided = {number for number, _ in failing}
    able = {number: healthy if number in avoided else replicas for number in range(partitions)}
    pairs = sorted(
        (preference(_subject(clock, number), replica), number, replica) for number in able for replica in able[number]
    )
    for _, number, replica in pairs:
        if number in owners or counts[replica] > smallest or (counts[replica] == smallest and extra == 0):
            continue
        extra -= counts[replica] == smallest
        owners[number], counts[replica] = replica, counts[replica] + 1
    # A partition is left only if all replicas that could own it have their share.
    for _, number, replica in pairs:
        owners.setdefault(number, replica)
    return owners


def _subject(clock: str, partition: int) -> str:
    return f"{clock} {partition}"
