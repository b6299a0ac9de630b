"""What the in-memory store has of one clock's scheduler. Not thread-safe; times are arguments."""

from dataclasses import dataclass, field

from clocksvc.interfaces.schedulers import PartitionLease, SchedulerAnnouncement, SchedulersReading


@dataclass(slots=True)
class StoredSchedulers:
    """Everything that a store can lose of one clock's scheduler.

    Attributes:
        announcements: by replica, with the time at which they expire.
        leases: by partition, with the time at which they expire.
        complete_since_ms, complete_until_ms: no announcement was lost from the first time on. At the second one the
            last announcement expires, and with it the first time.
    """

    announcements: dict[str, tuple[SchedulerAnnouncement, int]] = field(default_factory=dict)
    leases: dict[int, tuple[PartitionLease, int]] = field(default_factory=dict)
    complete_since_ms: int | None = None
    complete_until_ms: int = 0

    def announce(self, announcement: SchedulerAnnouncement, now_ms: int, expires_ms: int) -> None:
        """Store an announcement, and drop what has expired.

        A time that is too far ahead is from before the store's clock was set back.
        """
        since_ms = self._since_ms(now_ms)
        self.complete_since_ms = now_ms if since_ms is None or since_ms > now_ms else since_ms
        self.complete_until_ms = expires_ms
        self.announcements[announcement.replica] = announcement, expires_ms
        self.announcements = {
            replica: stored for replica, stored in self.announcements.items() if now_ms < stored[1] <= expires_ms
        }
        self.leases = {
            partition: stored for partition, stored in self.leases.items() if now_ms < stored[1] <= expires_ms
        }

    def acquire(
        self,
        partition: int,
        token: str,
        announcement: SchedulerAnnouncement,
        now_ms: int,
        expires_ms: int,
        instead_of: str | None,
    ) -> bool:
        """Store a lease, if the present one has the token `token` or `instead_of`; None: if there is none."""
        lease, until_ms = self.leases.get(partition, (None, 0))
        present = lease.token if lease is not None and now_ms < until_ms else None
        if present not in (token, instead_of):
            return False
        self.leases[partition] = PartitionLease(token, announcement.replica, announcement.address), expires_ms
        return True

    def release(self, partition: int, token: str) -> None:
        """Remove a lease with this token."""
        if partition in self.leases and self.leases[partition][0].token == token:
            del self.leases[partition]

    def reading(self, now_ms: int) -> SchedulersReading:
        """Return the live replicas, and the valid leases."""
        return SchedulersReading(
            now_ms=now_ms,
            announcements=tuple(one for _, (one, until_ms) in sorted(self.announcements.items()) if now_ms < until_ms),
            announcements_complete_since_ms=self._since_ms(now_ms),
            leases={number: lease for number, (lease, until_ms) in self.leases.items() if now_ms < until_ms},
        )

    def _since_ms(self, now_ms: int) -> int | None:
        return self.complete_since_ms if now_ms < self.complete_until_ms else None
