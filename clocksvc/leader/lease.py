"""The lease, which elects the leader of a log quickly, and every duration that depends on it.

Ticks are safe even if two processes have the lease, because Kafka fences the earlier leader. The lease only decides
which process tries to lead, and when.
"""

from contextlib import suppress

from clocksvc.clock.log_owner import StoreMark
from clocksvc.errors import LeaderStuck, LeaseLost, StoreUnavailable
from clocksvc.interfaces.leases import Announcement, LeaseReading
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.ranking import claim_delay_s

LEASE_MS = 3_000
"""How long a lease is valid after it was last renewed. Change this to make failover faster or slower; all durations
below are computed from it.

It must be longer than the store's timeout (2 s) plus RENEW_EVERY_S, and at least three times the interval at which the
tick log calls `keep_alive` (1 s).
"""
_LEASE_S = LEASE_MS / 1000

RENEW_EVERY_S = _LEASE_S / 6
"""How often a leader renews its lease while it can't work and waits for its next attempt."""
CLAIM_EVERY_S = _LEASE_S / 10
"""How often a standby tries to acquire the lease. A released lease is therefore free for at most 0.3 s."""
STUCK_TIMEOUT_S = 2 * _LEASE_S
"""A leader releases the lease if it has completed no round for this time, for any cause."""
STEP_BACK_S = 1.5 * _LEASE_S
"""How long a replica does not try to acquire the lease after it released it because of an error. This is longer than a
lease, so that another replica can acquire it."""
MAX_UNREADY_S = 120.0
"""The longest time that a replica is not ready after several failed terms. Leaders hand over only to ready replicas, so
a replica that can't lead, for example because of a missing permission, does not get the log again and again."""
HOLD_RETRY_S = STUCK_TIMEOUT_S / 3
"""The delay before a leader tries again after an error of its log that does not end by itself. It can try twice
before it is stuck."""

STATUS_TTL_MS = 10 * LEASE_MS
"""How long the leader's status is valid in the store. This is longer than a failover, so readers see no hold during a
short one."""
PUBLISH_STATUS_EVERY_S = STATUS_TTL_MS / 3 / 1000
"""How often an unchanged status is published again."""

ANNOUNCE_EVERY_S = _LEASE_S * 2 / 3
"""How often a replica announces itself."""
ANNOUNCEMENT_TTL_MS = 5_000
"""How long an announcement stays in the store."""
ANNOUNCEMENTS_COMPLETE_AFTER_MS = LEASE_MS
"""The time in which all live replicas announce themselves again after the store lost its announcements. It must be
longer than ANNOUNCE_EVERY_S plus CLAIM_EVERY_S."""


class Lease:
    """One process's lease on a log. Each acquisition has a new token.

    Attributes:
        replica: this process's unique name: `host:pid` and an id.
        renewed_at: monotonic time before the last renewal that succeeded. The store has renewed the lease after it.
        token: the token of the current term; None while this process does not have the lease.
        seen_stores: the ids with which this process has seen the store marked.
    """

    def __init__(self, parts: LeaderDependencies, holder: str) -> None:
        self._parts = parts
        self.replica = f"{holder} {parts.new_id()}"
        self.digests = {name: spec.digest() for name, spec in parts.specs.items()}
        self._configs = {self.digests[name]: spec.config_json() for name, spec in parts.specs.items()}
        self._announced_at = float("-inf")
        self._announced_ready = False
        self._ready_since: float | None = None
        self._free_since: float | None = None
        self._working_since: float | None = None
        self._not_before = self._unready_until = float("-inf")
        self._failed_terms = 0
        self._was_lost = False
        self._store_lost_at = float("-inf")
        self.renewed_at = float("-inf")
        self.token: str | None = None
        self.seen_stores: set[str] = set()

    def claim(self) -> str | None:
        """Try to acquire the lease. Blocks while `kafka_ready` does.

        Returns:
            The token of a new term. None if another process has the lease, if a better replica must have time to
            acquire it first, or if this process must not try yet after an error (see `release`).
        """
        self._check_ready()
        self.announce()
        now = self._parts.time.monotonic()
        if now < self._not_before:
            return None
        reading = self._read()
        if reading.holder is not None:
            self._free_since, self._was_lost = None, False
            return None
        if self._free_since is None:
            self._free_since = now
        # Leases and announcements can have expired because no replica reached the store.
        was_away = now - self._store_lost_at < ANNOUNCEMENTS_COMPLETE_AFTER_MS / 1000
        since_ms = reading.announcements_complete_since_ms
        complete = since_ms is not None and reading.now_ms - since_ms >= ANNOUNCEMENTS_COMPLETE_AFTER_MS
        if was_away or (reading.expired_holder is None and not complete):
            # Also after the store has lost everything, and in a new one. The last leader acquires the lease at once.
            if not self._was_lost:
                self._free_since = now
                return None
        elif now - self._free_since < claim_delay_s(
            self._parts.log, self.replica, reading.announcements, reading.expired_holder
        ):
            return None
        return self._acquire()

    def read_mark(self) -> StoreMark | None:
        """Return the store's mark of the log.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return self._note(self._parts.leases.read_mark())

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            LeaderStuck: this process has completed no round for too long. Release the lease.
            LeaseLost: this process does not have the lease any more.
            StoreUnavailable: the store does not answer.
        """
        self.check_progress()
        self.announce()
        began_at = self._parts.time.monotonic()
        if self.token is None or not self._parts.leases.acquire(self.token, self.replica, LEASE_MS):
            raise LeaseLost
        self.renewed_at = began_at

    def release(self, step_back_s: float = 0.0) -> None:
        """Release the lease. If the store is down, the lease expires.

        Args:
            step_back_s: if above 0, this process does not acquire the lease for this time, and is not ready. With each
                such release without a complete round in between, it is not ready for twice as long, up to
                MAX_UNREADY_S.
        """
        token, self.token = self.token, None
        if step_back_s:
            now, self._failed_terms = self._parts.time.monotonic(), self._failed_terms + 1
            self._not_before = now + step_back_s
            self._unready_until = now + min(step_back_s * 2 ** (self._failed_terms - 1), MAX_UNREADY_S)
        self._announced_at = float("-inf")
        self._free_since, self._was_lost = None, False
        if token is not None:
            with suppress(StoreUnavailable):
                self._parts.leases.release(token)

    def lose(self) -> None:
        """Note that the store does not have this process's lease any more."""
        self.token = None
        self._announced_at = float("-inf")
        self._free_since, self._was_lost = None, True

    def lose_store(self) -> None:
        """Note that the store does not answer this process.

        The time for which it is ready begins again. If it has led, it can acquire the lease again at once. If not, it
        waits until all live replicas have announced themselves again.
        """
        self._ready_since, self._announced_at = None, float("-inf")
        self._store_lost_at = self._parts.time.monotonic()

    def announce(self) -> None:
        """Announce this replica, if the next announcement is due or if its readiness has changed."""
        now = self._parts.time.monotonic()
        ready = self._ready_since is not None
        if now - self._announced_at < ANNOUNCE_EVERY_S and ready == self._announced_ready:
            return
        ready_ms = None if self._ready_since is None else round((now - self._ready_since) * 1000)
        announcement = Announcement(self.replica, self.digests, ready_ms)
        if not self._parts.leases.announce(announcement, ANNOUNCEMENT_TTL_MS, {}):
            self._parts.leases.announce(announcement, ANNOUNCEMENT_TTL_MS, self._configs)
        self._announced_at, self._announced_ready = now, ready

    def leave(self) -> None:
        """Release the lease and remove the announcement, because this process ends."""
        self.release()
        with suppress(StoreUnavailable):  # the announcement expires anyway
            self._parts.leases.announce(Announcement(self.replica, self.digests, None), 0, {})

    def record_progress(self) -> None:
        """Record that a round is complete. This is the only definition of progress."""
        self._working_since, self._failed_terms = None, 0
        if self._ready_since is None:
            self._ready_since = self._parts.time.monotonic()

    def check_progress(self) -> None:
        """Raise LeaderStuck if no round was completed for STUCK_TIMEOUT_S, although this process worked on it.

        The time begins with the first call after the last complete round. A process that was suspended between two
        rounds is therefore not stuck. It has lost its lease, and acquires it again if it is still free.
        """
        now = self._parts.time.monotonic()
        if self._working_since is None:
            self._working_since = now
        stuck_s = now - self._working_since
        if stuck_s >= STUCK_TIMEOUT_S:
            raise LeaderStuck(f"the leader has completed no round for {stuck_s:.0f} s and has released its lease")

    def _read(self) -> LeaseReading:
        reading = self._parts.leases.read_lease()
        self._note(reading.mark)
        return reading

    def _note(self, mark: StoreMark | None) -> StoreMark | None:
        if mark is not None:
            self.seen_stores.add(mark.store_id)
        return mark

    def _check_ready(self) -> None:
        ready = self._parts.kafka_ready() and self._parts.time.monotonic() >= self._unready_until
        if not ready:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = self._parts.time.monotonic()

    def _acquire(self) -> str | None:
        token, began_at = self._parts.new_id(), self._parts.time.monotonic()
        if not self._parts.leases.acquire(token, self.replica, LEASE_MS):
            return None
        self.token, self.renewed_at = token, began_at
        self._free_since, self._was_lost = None, False
        self._working_since = self._parts.time.monotonic()
        return token
