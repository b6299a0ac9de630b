"""The lease, which elects the leader quickly, and every duration that depends on it.

The election is safe without the lease: Kafka fences an earlier leader. The lease only decides who tries, and when.
"""

from contextlib import suppress

from clocksvc.errors import LeaseLost, StoreUnavailable
from clocksvc.leader.context import LeaderDependencies

LEASE_MS = 3_000
"""How long a lease lasts after it was last renewed. To change the pace of failover, change this: all below follows.

It must stay longer than the store's time-out (2 s) plus RENEW_EVERY_S, and at least three times the interval in which
the tick log calls its keep-alive (1 s).
"""
_LEASE_S = LEASE_MS / 1000

RENEW_EVERY_S = _LEASE_S / 6
"""A leader that can't work, and waits for its next attempt, renews this often."""
CLAIM_EVERY_S = _LEASE_S / 10
"""A standby tries to acquire the lease this often, so a released lease is free for 0.3 s at most."""
STUCK_TIMEOUT_S = 2 * _LEASE_S
"""A leader that has made no progress for so long, because Kafka is out of reach for example, releases the lease."""
STEP_BACK_S = 1.5 * _LEASE_S
"""After it released the lease because of an error, a replica does not claim it for so long: longer than a lease, so
that another replica gets it."""
HOLD_RETRY_S = STUCK_TIMEOUT_S / 3
"""A leader that holds because of its own tick log or store tries again after so long: twice before it is stuck."""

STATUS_TTL_MS = 10 * LEASE_MS
"""How long the leader's status stays valid in the store: longer than a failover, so that a short one is not shown."""
PUBLISH_STATUS_EVERY_S = STATUS_TTL_MS / 3 / 1000
"""How often an unchanged status is published again."""

ANNOUNCE_EVERY_S = _LEASE_S * 2 / 3
"""How often a replica announces its configuration."""
ANNOUNCEMENT_TTL_MS = 2 * LEASE_MS
"""How long an announcement stays in the store."""
ANNOUNCEMENTS_COMPLETE_AFTER_MS = LEASE_MS
"""So long after the store lost its announcements, every live replica is in it again: longer than ANNOUNCE_EVERY_S plus
CLAIM_EVERY_S."""


class Lease:
    """One process's lease on a clock. Each acquisition has a new token.

    Attributes:
        config_digest: the digest of this replica's configuration, which it announces.
        token: the token of the current term; None while this process does not hold the lease.
    """

    def __init__(self, parts: LeaderDependencies, holder: str) -> None:
        self._parts = parts
        self._holder = holder
        self.config_digest, self._config_json = parts.spec.digest(), parts.spec.config_json()
        self._replica = f"{holder} {parts.new_id()}"
        self._announced_at = float("-inf")
        self._stuck_since: float | None = None
        self._not_before = float("-inf")
        self.token: str | None = None

    def acquire(self) -> str | None:
        """Try to acquire the lease.

        Returns:
            The token of a new term; None while another process holds the lease or this one steps back.
        """
        self.announce()
        if self._parts.time.monotonic() < self._not_before:
            return None
        token = self._parts.new_id()
        if not self._parts.store.acquire_lease(token, self._holder, LEASE_MS):
            return None
        self.token = token
        return token

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            LeaseLost: this process does not hold it any more.
            StoreUnavailable: the store does not answer.
        """
        self.announce()
        if self.token is None or not self._parts.store.acquire_lease(self.token, self._holder, LEASE_MS):
            raise LeaseLost

    def release(self, step_back_s: float = 0.0) -> None:
        """Release the lease and don't claim it for `step_back_s`. A store that does not answer is ignored."""
        token, self.token = self.token, None
        self._announced_at = float("-inf")
        self._not_before = self._parts.time.monotonic() + step_back_s
        self._stuck_since = None
        if token is not None:
            with suppress(StoreUnavailable):  # the lease expires
                self._parts.store.release_lease(token)

    def announce(self) -> None:
        """Announce this replica and its configuration, if that is due."""
        now = self._parts.time.monotonic()
        if now - self._announced_at >= ANNOUNCE_EVERY_S:
            self._parts.store.announce(self._replica, self.config_digest, ANNOUNCEMENT_TTL_MS, self._config_json)
            self._announced_at = now

    def leave(self) -> None:
        """Release the lease and withdraw the announcement: this process ends."""
        self.release()
        with suppress(StoreUnavailable):  # the announcement expires
            self._parts.store.announce(self._replica, self.config_digest, 0)

    def begin_step(self) -> None:
        """A step begins. Until `record_progress` the time counts as time without progress."""
        if self._stuck_since is None:
            self._stuck_since = self._parts.time.monotonic()

    def record_progress(self) -> None:
        """A step is complete."""
        self._stuck_since = None

    def is_stuck(self) -> bool:
        """Whether there has been no progress for STUCK_TIMEOUT_S, so that another process should lead."""
        return self._stuck_since is not None and self._parts.time.monotonic() - self._stuck_since >= STUCK_TIMEOUT_S
