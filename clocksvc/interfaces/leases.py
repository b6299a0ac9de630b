"""The leases: which replica leads a log, who could, and what a leader reads once per round.

An implementation serves one log. All of this is in the store, which can lose it at any time. Each method is atomic, can
be called from any thread, and blocks for at most the implementation's timeout. If the store does not answer, the method
raises StoreUnavailable. In that case a write may have taken effect; it is safe to repeat it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.request import Request
from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.hold_history import StatusUpdate


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a live replica announces for one log.

    Attributes:
        replica: a unique name: `host:pid` and an id, with a space in between.
        digests: the configuration digest of each clock of this log that the replica has in its configuration.
        ready_ms: for how long the replica has been ready to lead: it reaches store and Kafka, and does not wait after
            an error. None while it is not ready.
    """

    replica: str
    digests: Mapping[str, str]
    ready_ms: int | None

    @property
    def holder(self) -> str:
        """`host:pid`."""
        return self.replica.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class LeaseReading:
    """The lease, read at one moment.

    Attributes:
        now_ms: the store's own clock.
        holder: the replica that has the lease; None if it is free.
        expired_holder: the replica whose lease ended without a release; None if the lease was released, if a replica
            has it, or after the store has lost its data.
        announcements: the live replicas, in the order of their names.
        announcements_complete_since_ms: store time of the first announcement after the store last lost announcements.
            The store has all announcements since then. None if there is no announcement yet.
        mark: the store's mark of the log; None if the store is new, or has lost it.
    """

    now_ms: int
    holder: str | None
    expired_holder: str | None
    announcements: tuple[Announcement, ...]
    announcements_complete_since_ms: int | None
    mark: StoreMark | None


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """What a leader needs of one clock for one round.

    Attributes:
        lowest_ms: the lowest raw timestamp on the roster; None while a partition is unknown or the roster is empty.
        count, generation: the number of partitions that must report, and the generation of the roster in the store. If
            they differ from what the leader wrote, the roster was lost or replaced.
        last_tick_ms: the time that must be `previous` in the next tick. If it differs from the leader's last tick, the
            store has lost ticks or was restored to an older state.
        boundary_crossed_at_ms: store time of the report with which the last partition reached the next boundary; None
            if not all partitions have reached it.
        unknown_seen_ms: store time of the last report of a partition that is not on the roster; 0 if there was none.
        create_time_seen_ms: store time of the last report that contains a record with the timestamp type CreateTime; 0
            if there was none.
        out_of_orderness_ms: the clock's parameter, as it is in the store.
        restoring: True while the clock's stream in the store lacks older ticks, which must be restored.
        requests: waiting requests that have not expired, and requests that an earlier leader read without writing a
            result.
    """

    lowest_ms: int | None
    count: int
    generation: int
    last_tick_ms: int | None
    boundary_crossed_at_ms: int | None
    unknown_seen_ms: int
    create_time_seen_ms: int = 0
    out_of_orderness_ms: int = 0
    restoring: bool = False
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundReading:
    """What a leader needs for one round. All values are read at the same moment.

    Attributes:
        now_ms: the store's own clock.
        announcements, announcements_complete_since_ms, mark: as in LeaseReading.
        progress: by clock. None if the store has lost the clock's parameters, its roster or a part of them, or if the
            leader has not claimed the clock's store in this term.
        lease_left_ms: for how long the lease was still valid before this reading renewed it.
    """

    now_ms: int
    announcements: tuple[Announcement, ...]
    announcements_complete_since_ms: int | None
    mark: StoreMark | None
    lease_left_ms: int
    progress: Mapping[str, ProgressReading | None] = field(default_factory=dict)


class Leases(Protocol):
    """The lease of one log, and the replicas that could have it."""

    def read_lease(self) -> LeaseReading:
        """Return the lease, the announcements and the store's mark of the log."""

    def acquire(self, token: str, replica: str, ttl_ms: int) -> bool:
        """Acquire or renew the lease for `ttl_ms` from now; False if another token has the lease."""

    def read_mark(self) -> StoreMark | None:
        """Return the store's mark of the log."""

    def write_mark(self, token: str, mark: StoreMark) -> None:
        """Mark the store for the log.

        Raises:
            LeaseLost: the token does not have the lease.
        """

    def adopt(self, mark: StoreMark) -> bool:
        """Mark a store that has no mark of the log, or had this one already; False if it has another mark.

        An operator's command calls this, without a lease.
        """

    def release(self, token: str) -> None:
        """Release the lease if `token` has it."""

    def announce(self, announcement: Announcement, ttl_ms: int, configs: Mapping[str, str]) -> bool:
        """Announce that a replica is alive; `ttl_ms` 0 removes the announcement.

        Args:
            configs: the configuration from which each digest is computed, as JSON, by digest. May be empty.

        Returns:
            True if the store has the configuration of every announced digest. If False, call it again with `configs`.
        """

    def configs(self) -> Mapping[str, str]:
        """Return the configurations of live replicas as JSON, by digest."""

    def read_round(self, token: str, ttl_ms: int, clocks: Sequence[str]) -> RoundReading:
        """Read what a round needs, and renew the lease for `ttl_ms`. Requests that were read can't be cancelled.

        Clears the notification, because the reading contains the changes that it announced.

        Raises:
            LeaseLost: the token does not have the lease.
        """

    def publish(
        self, token: str, ticks: Mapping[str, Sequence[Tick]], recent_ticks_ms: Mapping[str, int]
    ) -> Mapping[str, int | ChainBroken]:
        """Append ticks of some clocks to their streams, as `TickStream.publish` does for one clock.

        An error of one clock does not affect the others.

        Args:
            ticks: by clock.
            recent_ticks_ms: the `recent_ticks` of these clocks.

        Returns:
            By clock, the store's time in ms after the ticks were appended; or the error, if its stream is unchanged.

        Raises:
            LeaseLost: the token does not have the lease.
        """

    def publish_statuses(self, token: str, updates: Mapping[str, StatusUpdate], ttl_ms: int) -> None:
        """Write the leader's status of some clocks of the log for readers, and add to their histories of holds.

        Args:
            updates: by clock.
            ttl_ms: a status is dropped after this time.

        Raises:
            LeaseLost: the token does not have the lease.
        """

    def wait_for_notification(self, timeout_s: float) -> bool:
        """Block until a report, a request or `notify` notifies the leader; False after `timeout_s`.

        Only the leader may call this.
        """

    def notify(self) -> None:
        """Notify the leader, which ends its `wait_for_notification`."""
