"""The lease, which elects the leader quickly, and every duration that depends on it.

Ticks are safe even if two processes have the lease, because Kafka fences the earlier leader. The lease only decides
which process tries to lead, and when.
"""

from contextlib import suppress

from clocksvc.errors import LeaseLost, StoreUnavailable
from clocksvc.leader.context import LeaderDependencies

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
"""A leader releases the lease after this time without progress, for example because it can't reach Kafka."""
STEP_BACK_S = 1.5 * _LEASE_S
"""How long a replica does not try to acquire the lease after it released it because of an error. This is longer than a
lease, so that another replica can acquire it."""
HOLD_RETRY_S = STUCK_TIMEOUT_S / 3
"""The delay before a leader tries again after an error of its tick log or store, which has caused a hold. It can try
twice before it is stuck."""

STATUS_TTL_MS = 10 * LEASE_MS
"""How long the leader's status is valid in the store. This is longer than a failover, so readers see no hold during a
short one."""
PUBLISH_STATUS_EVERY_S = STATUS_TTL_MS / 3 / 1000
"""How often an unchanged status is published again."""

ANNOUNCE_EVERY_S = _LEASE_S * 2 / 3
"""How often a replica announces its configuration."""
ANNOUNCEMENT_TTL_MS = 2 * LEASE_MS
"""How long an announcement stays in the store."""
ANNOUNCEMENTS_COMPLETE_AFTER_MS = LEASE_MS
"""The time in which all live replicas announce themselves again after the store lost its announcements. It must be
longer than ANNOUNCE_EVERY_S plus CLAIM_EVERY_S."""


class Lease:
    """One process's lease on a clock. Each acquisition has a new token.

    Attributes:
        config_digest: the digest of this replica's configuration, which it announces.
        token: the token of the current term; None while this process does not have the lease.
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
            The token of a new term; None if another process has the lease, or if this process must not try yet after an
            error (see `release`).
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
            LeaseLost: this process does not have the lease any more.
            StoreUnavailable: the store does not answer.
        """
        self.announce()
        if self.token is None or not self._parts.store.acquire_lease(self.token, self._holder, LEASE_MS):
            raise LeaseLost

    def release(self, step_back_s: float = 0.0) -> None:
        """Release the lease, and don't acquire it for `step_back_s`. If the store is down, the lease expires."""
        token, self.token = self.token, None
        self._announced_at = float("-inf")
        self._not_before = self._parts.time.monotonic() + step_back_s
        self._stuck_since = None
        if token is not None:
            with suppress(StoreUnavailable):
                self._parts.store.release_lease(token)

    def announce(self) -> None:
        """Announce this replica and its configuration, if the next announcement is due."""
        now = self._parts.time.monotonic()
        if now - self._announced_at >= ANNOUNCE_EVERY_S:
            self._parts.store.announce(self._replica, self.config_digest, ANNOUNCEMENT_TTL_MS, self._config_json)
            self._announced_at = now

    def leave(self) -> None:
        """Release the lease and remove the announcement, because this process ends."""
        self.release()
        with suppress(StoreUnavailable):  # the announcement expires anyway
            self._parts.store.announce(self._replica, self.config_digest, 0)

    def begin_step(self) -> None:
        """Record that a step begins. The time until `record_progress` counts as time without progress."""
        if self._stuck_since is None:
            self._stuck_since = self._parts.time.monotonic()

    def record_progress(self) -> None:
        """Record that a step is complete."""
        self._stuck_since = None

    def is_stuck(self) -> bool:
        """True if there was no progress for STUCK_TIMEOUT_S. Another process should lead in this case."""
        return self._stuck_since is not None and self._parts.time.monotonic() - self._stuck_since >= STUCK_TIMEOUT_S
